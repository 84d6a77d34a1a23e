"""What a request may ask of items, in our own words."""

import math
from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class AnyOf:
    """The value, or a member of it where it is a list, is one of these."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberRange:
    """The value, or a member of it, is a number within bounds.

    Attributes:
        low: the lower bound; minus infinity: none.
        high: the upper bound; infinity: none.
        has_low: whether the lower bound is within.
        has_high: whether the upper bound is.
    """

    low: float = -math.inf
    high: float = math.inf
    has_low: bool = True
    has_high: bool = True


@dataclass(frozen=True, slots=True)
class Present:
    """The item has the attribute."""


Test = AnyOf | NumberRange | Present


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A test of an attribute.

    Attributes:
        attribute: its name.
        test: what must hold.
        is_negated: whether it must not; so it is of items without the attribute.
    """

    attribute: str
    test: Test
    is_negated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupBy:
    """At most so many items with the same value; items without one are not bounded.

    Attributes:
        attribute: its name.
        max_hits: with each value, at least 1.
    """

    attribute: str
    max_hits: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which items may be in an answer.

    Attributes:
        conditions: all must hold.
        excluded_ids: of items that may not be in it.
        group_by: None: however many alike.
        min_score: least cosine; minus infinity: any.
    """

    conditions: tuple[Condition, ...] = ()
    excluded_ids: tuple[str, ...] = ()
    group_by: GroupBy | None = None
    min_score: float = -math.inf

    @property
    def attributes(self) -> tuple[str, ...]:
        """The names of all attributes that it asks for, each once."""
        grouped = () if self.group_by is None else (self.group_by.attribute,)
        return tuple(dict.fromkeys((*(each.attribute for each in self.conditions), *grouped)))


class FilterPath(StrEnum):
    """How a request with a filter was answered."""

    EXACT = "exact"
    """All matching items were compared."""

    WIDENED = "widened"
    """The index was searched more widely."""

    FELL_BACK = "fell_back"
    """The index was searched more widely and gave too few, so all matching items were
    compared.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterReport:
    """What became of a filter.

    Attributes:
        num_matching: items that the conditions hold for, without the excluded ones.
        path: how the answer was found.
        unknown_attributes: names that the filter asks for and no item has.
    """

    num_matching: int
    path: FilterPath
    unknown_attributes: tuple[str, ...] = field(default=())
