"""What a message asks, and what is wrong with it."""

import math

import pytest

from protos import retrieval_v1_pb2 as pb
from server.errors import QueryRefused
from server.filters.conditions import AnyOf, Condition, Filter, GroupBy, NumberRange, Present
from server.filters.parsing import MAX_CONDITIONS, MAX_EXCLUDED, MAX_VALUES, parse_filter

MAX_K = 100


def parse(**fields: object) -> Filter:
    """Return the filter of a message with these fields."""
    return parse_filter(pb.Filter(**fields), MAX_K)  # type: ignore[arg-type]


def condition(**fields: object) -> pb.Condition:
    """Return a condition on the brand."""
    return pb.Condition(**{"attribute": "brand", **fields})  # type: ignore[arg-type]


def test_an_empty_filter_asks_nothing() -> None:
    """Every item is let in."""
    assert parse() == Filter()


def test_every_kind_of_condition_is_read() -> None:
    """In the order that they come in."""
    found = parse(
        conditions=[
            condition(equals="acme"),
            condition(any_of=pb.Values(values=["a", "b", "a"]), negated=True),
            condition(range=pb.NumberRange(at_least=1, less_than=5)),
            condition(present=True),
            condition(present=False),
            condition(present=False, negated=True),
        ],
        excluded_item_ids=["4711", "815", "4711"],
        group_by=pb.GroupBy(attribute="shop"),
        min_score=0.0,
    )

    assert found.conditions == (
        Condition(attribute="brand", test=AnyOf(("acme",))),
        Condition(attribute="brand", test=AnyOf(("a", "b")), is_negated=True),
        Condition(attribute="brand", test=NumberRange(low=1, high=5, has_high=False)),
        Condition(attribute="brand", test=Present()),
        Condition(attribute="brand", test=Present(), is_negated=True),
        Condition(attribute="brand", test=Present()),
    )
    assert found.excluded_ids == ("4711", "815")
    assert found.group_by == GroupBy(attribute="shop", max_hits=1)
    assert found.min_score == 0.0
    assert found.attributes == ("brand", "shop")


def test_a_value_is_found_however_unicode_writes_it() -> None:
    """A shop's items come from Macs, which write accents apart, and from elsewhere; and
    the values that may be asked for are those that were.
    """
    composed, apart = "caf\u00e9", "cafe\u0301"
    for value in (composed, apart):
        (found,) = parse(conditions=[condition(equals=value)]).conditions
        assert isinstance(found.test, AnyOf)
        assert set(found.test.values) == {composed, apart}
    many = [f"\u00e9{number}" for number in range(MAX_VALUES)]
    (found,) = parse(conditions=[condition(any_of=pb.Values(values=many))]).conditions
    assert isinstance(found.test, AnyOf)
    assert len(found.test.values) == 2 * MAX_VALUES


@pytest.mark.parametrize(
    ("bounds", "wanted"),
    [
        ({"at_most": 20}, NumberRange(high=20)),
        ({"more_than": 3}, NumberRange(low=3, has_low=False)),
        ({"at_least": 3, "more_than": 3}, NumberRange(low=3, has_low=False)),
        ({"at_least": 4, "more_than": 3}, NumberRange(low=4)),
        ({"at_most": 3, "less_than": 4}, NumberRange(high=3)),
        ({"at_most": 4, "less_than": 4}, NumberRange(high=4, has_high=False)),
        ({"at_least": 2, "at_most": 2}, NumberRange(low=2, high=2)),
    ],
)
def test_the_tighter_bound_of_a_side_counts(bounds: dict[str, float], wanted: NumberRange) -> None:
    """Of the same number the one that leaves it out."""
    (found,) = parse(conditions=[condition(range=pb.NumberRange(**bounds))]).conditions

    assert found.test == wanted


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"conditions": [pb.Condition(equals="x")]}, r"conditions\[0\].attribute is empty"),
        ({"conditions": [condition()]}, "set one of equals, any_of, range, present"),
        ({"conditions": [condition(any_of=pb.Values())]}, "any_of has no values"),
        ({"conditions": [condition(equals="")]}, "blank value.*set present to false"),
        ({"conditions": [condition(any_of=pb.Values(values=["a", " "]))]}, "blank value"),
        ({"conditions": [condition(range=pb.NumberRange())]}, "has no bound"),
        ({"conditions": [condition(range=pb.NumberRange(at_least=math.nan))]}, "at_least is nan"),
        ({"conditions": [condition(range=pb.NumberRange(at_most=math.inf))]}, "leave it out"),
        (
            {"conditions": [condition(range=pb.NumberRange(at_least=5, at_most=3))]},
            "no number is at_least 5 and at_most 3",
        ),
        (
            {"conditions": [condition(range=pb.NumberRange(more_than=3, at_most=3))]},
            "no number is",
        ),
        ({"conditions": [condition(equals="x")] * (MAX_CONDITIONS + 1)}, "has 17; at most"),
        (
            {
                "conditions": [
                    condition(any_of=pb.Values(values=map(str, range(MAX_VALUES // 2 + 1))))
                ]
                * 2
            },
            f"at most {MAX_VALUES} are taken",
        ),
        ({"excluded_item_ids": ["x"] * (MAX_EXCLUDED + 1)}, "excluded_item_ids has 1001"),
        ({"excluded_item_ids": ["a", ""]}, "has an empty id"),
        ({"group_by": pb.GroupBy()}, "group_by.attribute is empty"),
        ({"group_by": pb.GroupBy(attribute="a", max_hits=MAX_K + 1)}, "from 1 to 100"),
        ({"min_score": 1.5}, "min_score is 1.5; it must be from -1 to 1"),
        ({"min_score": math.nan}, "min_score is nan"),
    ],
)
def test_what_cannot_be_meant_is_refused(fields: dict[str, object], message: str) -> None:
    """Where it is, and what to change."""
    with pytest.raises(QueryRefused, match=message):
        parse(**fields)
