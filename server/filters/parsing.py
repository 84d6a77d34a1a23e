"""From the contract's message to a filter, or to what is wrong with it."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from unicodedata import normalize

from protos import retrieval_v1_pb2 as retrieval_pb
from server.errors import QueryRefused
from server.filters.conditions import AnyOf, Condition, Filter, GroupBy, NumberRange, Present, Test

# Each costs a look at every item that the others leave, 2 ms at a million. Twice as
# many: twice that for one request.
MAX_CONDITIONS: Final = 16
# Values of all conditions together, 10 us each to be found among a million. Twice as
# many: 10 ms for one request.
MAX_VALUES: Final = 500
# What a shopper has seen, 3 us each to be found. Twice as many: 6 ms for one request.
MAX_EXCLUDED: Final = 1000


def parse_filter(message: retrieval_pb.Filter, max_k: int) -> Filter:
    """Return what a message asks of items.

    Args:
        message: the filter of a request; an empty one asks nothing.
        max_k: most items of an answer.

    Raises:
        QueryRefused: it cannot be meant; the message names the field and says what to
            change.
    """
    _check_size("conditions", len(message.conditions), MAX_CONDITIONS)
    _check_size("excluded_item_ids", len(message.excluded_item_ids), MAX_EXCLUDED)
    conditions = tuple(
        _condition(condition, f"filter.conditions[{place}]")
        for place, condition in enumerate(message.conditions)
    )
    asked = sum(len(_values(each)) for each in message.conditions)
    _check_size("conditions' values", asked, MAX_VALUES)
    if "" in message.excluded_item_ids:
        raise _refused("filter.excluded_item_ids", "has an empty id; leave it out")
    return Filter(
        conditions=conditions,
        excluded_ids=tuple(dict.fromkeys(message.excluded_item_ids)),
        group_by=_group_by(message.group_by, max_k) if message.HasField("group_by") else None,
        min_score=_min_score(message.min_score) if message.HasField("min_score") else -math.inf,
    )


def _refused(place: str, what: str) -> QueryRefused:
    """Return the refusal of a field, which begins with its name."""
    return QueryRefused(f"{place} {what}", request_field=place)


def _check_size(what: str, found: int, most: int) -> None:
    if found > most:
        raise _refused(f"filter.{what}", f"has {found}; at most {most} are taken")


def _condition(message: retrieval_pb.Condition, place: str) -> Condition:
    if not message.attribute:
        raise _refused(f"{place}.attribute", "is empty; name an attribute of the catalogue")
    kind = message.WhichOneof("test")
    if kind is None:
        raise _refused(
            place, f"says nothing of {message.attribute!r}; set one of {', '.join(_TESTS)}"
        )
    test, is_negated = _TESTS[kind](message, f"{place}.{kind}")
    return Condition(
        attribute=message.attribute, test=test, is_negated=is_negated != message.negated
    )


def _equals(message: retrieval_pb.Condition, place: str) -> tuple[Test, bool]:
    _check_value(message.equals, place)
    return _is_written((message.equals,)), False


def _any_of(message: retrieval_pb.Condition, place: str) -> tuple[Test, bool]:
    values = _values(message)
    if not values:
        raise _refused(place, "has no values, so nothing is one of them; give one at least")
    for value in values:
        _check_value(value, place)
    return _is_written(values), False


def _values(message: retrieval_pb.Condition) -> tuple[str, ...]:
    """Return the values that a condition asks for, each once."""
    given = (message.equals,) if message.HasField("equals") else message.any_of.values
    return tuple(dict.fromkeys(given))


def _is_written(values: Sequence[str]) -> AnyOf:
    """Return the test for values however Unicode writes them: an accent may be a
    character of its own (`caf` `e` U+0301), as in names from a Mac, and looks the same.
    """
    forms = (
        form
        for value in values
        for form in (value, normalize("NFC", value), normalize("NFD", value))
    )
    return AnyOf(tuple(dict.fromkeys(forms)))


def _check_value(value: str, place: str) -> None:
    if not value.strip():
        raise _refused(
            place,
            "has a blank value, which no item has; to find items without the attribute, set "
            "present to false",
        )


def _range(message: retrieval_pb.Condition, place: str) -> tuple[Test, bool]:
    bounds = {
        name: getattr(message.range, name)
        for name in ("at_least", "at_most", "more_than", "less_than")
        if message.range.HasField(name)
    }
    for name, bound in bounds.items():
        if not math.isfinite(bound):
            raise _refused(
                f"{place}.{name}",
                f"is {bound}; it must be a finite number; leave it out for no bound",
            )
    if not bounds:
        raise _refused(place, "has no bound; set one of at_least, at_most, more_than, ...")
    found = _within(bounds)
    is_empty = found.low > found.high or (
        found.low == found.high and not (found.has_low and found.has_high)
    )
    if is_empty:
        said = " and ".join(f"{name} {bound:g}" for name, bound in bounds.items())
        raise _refused(place, f"lets nothing in: no number is {said}; correct a bound")
    return found, False


def _within(bounds: Mapping[str, float]) -> NumberRange:
    """Return the numbers within all bounds; of two on a side the tighter one counts."""
    at_least, more_than = bounds.get("at_least", -math.inf), bounds.get("more_than", -math.inf)
    at_most, less_than = bounds.get("at_most", math.inf), bounds.get("less_than", math.inf)
    return NumberRange(
        low=max(at_least, more_than),
        high=min(at_most, less_than),
        has_low=at_least > more_than or "more_than" not in bounds,
        has_high=at_most < less_than or "less_than" not in bounds,
    )


def _present(message: retrieval_pb.Condition, place: str) -> tuple[Test, bool]:  # noqa: ARG001  # nothing can be wrong
    return Present(), not message.present


_TESTS: Final[Mapping[str, Callable[[retrieval_pb.Condition, str], tuple[Test, bool]]]] = {
    "equals": _equals,
    "any_of": _any_of,
    "range": _range,
    "present": _present,
}
"""By the name of a test in the contract: what reads it, and whether it is negated."""


def _group_by(message: retrieval_pb.GroupBy, max_k: int) -> GroupBy:
    if not message.attribute:
        raise _refused("filter.group_by.attribute", "is empty; name an attribute of the catalogue")
    if message.max_hits > max_k:
        raise _refused(
            "filter.group_by.max_hits",
            f"is {message.max_hits}; it must be from 1 to {max_k}, or 0 for 1",
        )
    return GroupBy(attribute=message.attribute, max_hits=message.max_hits or 1)


def _min_score(score: float) -> float:
    # Written so that NaN fails, too.
    if not -1 <= score <= 1:
        raise _refused(
            "filter.min_score", f"is {score}; it must be from -1 to 1, as the scores of hits are"
        )
    return score
