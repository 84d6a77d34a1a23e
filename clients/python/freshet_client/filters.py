"""What a caller asks of the items in an answer."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from freshet_client.errors import QueryRefused
from freshet_client.fields import count_of, several_of
from freshet_client.protos import retrieval_v1_pb2 as retrieval_pb


@dataclass(frozen=True, slots=True)
class Equals:
    """The attribute has this value, or a list with it, as the catalogue writes it."""

    attribute: str
    value: str


@dataclass(frozen=True, slots=True)
class AnyOf:
    """The attribute has one of these values, or a list with one."""

    attribute: str
    values: Sequence[str]


@dataclass(frozen=True, slots=True)
class InRange:
    """The attribute is a decimal number within bounds, of which one at least is set."""

    attribute: str
    at_least: float | None = None
    at_most: float | None = None
    more_than: float | None = None
    less_than: float | None = None


@dataclass(frozen=True, slots=True)
class Has:
    """The item has the attribute."""

    attribute: str


@dataclass(frozen=True, slots=True)
class Not:
    """The condition does not hold; so it is of items without the attribute."""

    condition: "Equals | AnyOf | InRange | Has | Not"


Condition = Equals | AnyOf | InRange | Has | Not


@dataclass(frozen=True, slots=True)
class GroupBy:
    """At most so many items with the same value of an attribute, the best of each.

    Items without it are not bounded.
    """

    attribute: str
    max_hits: int = 1  # the server's own default


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which items may be in an answer; it has `k` wherever so many may be in it.

    Attributes:
        conditions: all must hold.
        excluded_item_ids: not these.
        group_by: None: however many alike.
        min_score: least score of a hit, -1 to 1; None: any.
    """

    conditions: Sequence[Condition] = ()
    excluded_item_ids: Sequence[str] = ()
    group_by: GroupBy | None = None
    min_score: float | None = None

    @property
    def lets_all_in(self) -> bool:
        """Whether it asks nothing."""
        is_bounded = self.group_by is not None or self.min_score is not None
        return not (is_bounded or self.conditions or self.excluded_item_ids)


NO_FILTER = Filter()

_TEXT = re.compile(r"(?P<name>.*?)(?P<sign>!=|>=|<=|=|>|<)(?P<value>.*)", re.DOTALL)
_BOUNDS = {">=": "at_least", "<=": "at_most", ">": "more_than", "<": "less_than"}
_EITHER = re.compile(r"(?<!\\)\|")  # between values; a backslash before it makes it one of theirs


def parse_condition(text: str) -> Condition:
    r"""Return the condition that a text such as ``price<=20`` is.

    ``brand=acme``, ``brand=acme|zeta`` (one of them; ``\|`` is a bar), ``brand!=acme``,
    ``price>=5``, ``<=``, ``>``, ``<``, ``brand`` (the item has it), ``!brand`` (it has
    not).

    Raises:
        QueryRefused: it is none.
    """
    match = _TEXT.fullmatch(text)
    if match is None:
        name = text.removeprefix("!").strip()
        if not name:
            raise QueryRefused(f"the filter {text!r} names no attribute; write brand=acme")
        return Not(Has(name)) if text.startswith("!") else Has(name)
    name, sign, value = match["name"].strip(), match["sign"], match["value"].strip()
    if not name or not value:
        raise QueryRefused(f"the filter {text!r} lacks a name or a value; write brand=acme")
    if sign in _BOUNDS:
        return InRange(name, **{_BOUNDS[sign]: _number(text, value)})
    values = [each.strip().replace("\\|", "|") for each in _EITHER.split(value)]
    condition: Condition = Equals(name, values[0]) if len(values) == 1 else AnyOf(name, values)
    return Not(condition) if sign == "!=" else condition


def _number(text: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise QueryRefused(
            f"the filter {text!r} compares with {value!r}, which is no number; write price<=20"
        ) from None


def filter_message(wanted: Filter) -> retrieval_pb.Filter:
    """Return the contract's message of a filter.

    Raises:
        QueryRefused: one text is given for several, or a count cannot be one.
    """
    message = retrieval_pb.Filter(
        conditions=[_condition_message(each, negated=False) for each in wanted.conditions],
        excluded_item_ids=several_of("filter_by.excluded_item_ids", wanted.excluded_item_ids),
        min_score=wanted.min_score,
    )
    if wanted.group_by is not None:
        message.group_by.attribute = wanted.group_by.attribute
        message.group_by.max_hits = count_of("group_by.max_hits", wanted.group_by.max_hits)
    return message


def _condition_message(condition: Condition, *, negated: bool) -> retrieval_pb.Condition:
    if isinstance(condition, Not):
        return _condition_message(condition.condition, negated=not negated)
    message = retrieval_pb.Condition(attribute=condition.attribute, negated=negated)
    match condition:
        case Equals(value=value):
            message.equals = value
        case AnyOf(values=values):
            message.any_of.values.extend(several_of("AnyOf.values", values))
            message.any_of.SetInParent()
        case InRange():
            message.range.MergeFrom(_range_message(condition))
            message.range.SetInParent()
        case Has():
            message.present = True
    return message


def _range_message(bounds: InRange) -> retrieval_pb.NumberRange:
    return retrieval_pb.NumberRange(
        at_least=bounds.at_least,
        at_most=bounds.at_most,
        more_than=bounds.more_than,
        less_than=bounds.less_than,
    )
