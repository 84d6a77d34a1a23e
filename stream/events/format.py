"""What a format is: how its records are told, and how they are read."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from stream.events.fields import json_object, reject_type
from stream.events.limits import Limits
from stream.events.raw_columns import RawColumns, Rows
from stream.events.types import CatalogItem, Erasure, Interaction, Rejected, SearchRecord
from stream.reasons import Repair

Event = Interaction | CatalogItem | Erasure | SearchRecord


@dataclass(slots=True)
class Content:
    """What one record held, as its format says it.

    Not frozen: there is one a record, and freezing makes it four times as slow to make.

    Attributes:
        events: the good ones, in the order in which the record has them.
        problems: what is wrong with others: at most one for each reason.
        num_ignored: messages that are in order but are not about an item.
        repairs: one for each text of an item that was cut, and each that was left out.
        ignored_as: why, one of `stream.reasons.IGNORED`.
    """

    events: Sequence[Event]
    problems: Sequence[Rejected] = ()
    num_ignored: int = 0
    repairs: Sequence[Repair] = ()
    ignored_as: str = "other"


def ignored(reason: str) -> Content:
    """Return what a record held that is in order and of no use, such as an impression.

    Args:
        reason: one of `stream.reasons.IGNORED`.
    """
    return Content((), num_ignored=1, ignored_as=reason)


def content_of_products(
    products: Sequence[object], name: str, read: Callable[[dict[str, Any]], Interaction]
) -> Content:
    """Return what a record of many products holds: an interaction with each, or what is
    wrong with it. One of none is ignored.

    Args:
        products: the value of a field, which must be objects.
        name: of the field.
        read: returns the interaction with one product, or rejects it.
    """
    events: list[Event] = []
    problems: list[tuple[int, Rejected]] = []
    for number, product in enumerate(products):
        try:
            if not isinstance(product, dict):
                reject_type("the product", "an object", product)
            events.append(read(product))
        except Rejected as rejected:
            problems.append((number, rejected))
    if not products:
        return ignored("no_item")
    return Content(events, first_of_each_reason(problems, f"entry %d of {name}"))


def first_of_each_reason(problems: Sequence[tuple[int, Rejected]], place: str) -> list[Rejected]:
    """Return one problem a reason: its first event's, and how many more there are.

    Each comes with the whole record in quarantine, so that there must not be many.

    Args:
        problems: each with the number of its event in the record.
        place: names an event of the record, with ``%d`` for its number.
    """
    counts = Counter(problem.reason for _, problem in problems)
    first: dict[str, Rejected] = {}
    for number, problem in problems:
        if problem.reason not in first:
            num_others = counts[problem.reason] - 1
            others = f" (and {num_others} more)" if num_others else ""
            detail = f"{place % number}: {problem.detail}{others}"
            first[problem.reason] = Rejected(problem.reason, detail)
    return list(first.values())


DecodeBytes = Callable[[bytes, Limits], Content]
ReadObject = Callable[[dict[str, Any], Limits], Content]
ReadIfKnown = Callable[[dict[str, Any], Limits], Content | None]
ReadColumns = Callable[[Sequence[Any], Rows], tuple[RawColumns, Rows]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Format:
    """A format: one line of the table.

    Both ways of decoding raise `Rejected`, and nothing else, whatever the bytes are.

    Attributes:
        name: for people and tests.
        content_types: what announces it: a media type, in lower case, with
            ``; messageType=NAME`` where the media type alone does not say enough.
        keys: an event in JSON of which its content-type says no more is of this format
            if it has one of these keys, and none of a format further up in the table.
        decode: returns what a record holds.
        read: the same for JSON that is parsed already; a format with `keys` has it.
        read_columns: the fast path, if there is one. It takes the values of a batch and
            the rows that are of this format, and returns what it could read, and the
            rows that must be decoded one by one.
        read_natively: the same by `freshet_native`, which is asked first where it is
            installed, and leaves more rows.
    """

    name: str
    content_types: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    decode: DecodeBytes
    read: ReadObject | None = None
    read_columns: ReadColumns | None = None
    read_natively: ReadColumns | None = None


def read_as_any(formats: Sequence[Format]) -> ReadIfKnown:
    """Return what reads a JSON object as the first of some formats of which it has a
    key with a value; None: it has none.

    Args:
        formats: in the order in which they are tried; those without keys are passed
            over.
    """
    readers = [(key, form.read) for form in formats if form.read for key in form.keys]

    def read(found: dict[str, Any], limits: Limits) -> Content | None:
        for key, read_as in readers:
            if found.get(key) is not None:
                return read_as(found, limits)
        return None

    return read


def content_of_all(listed: object, what: str, read: Callable[[dict[str, Any]], Content]) -> Content:
    """Return what all messages of a record hold, as far as they are good.

    Args:
        listed: the messages, which must be a list of objects.
        what: names one in a rejection.
        read: returns what one holds, or rejects it.
    """
    if not isinstance(listed, list):
        reject_type("the JSON", "a list", listed)
    events: list[Event] = []
    problems: list[tuple[int, Rejected]] = []
    repairs: list[Repair] = []
    others: list[Content] = []
    for number, each in enumerate(listed):
        try:
            if not isinstance(each, dict):
                reject_type(what, "an object", each)
            content = read(each)
        except Rejected as rejected:
            problems.append((number, rejected))
            continue
        events += content.events
        problems += [(number, problem) for problem in content.problems]
        repairs += content.repairs
        others += [content] if content.num_ignored else []
    return Content(
        events,
        first_of_each_reason(problems, f"{what} %d"),
        num_ignored=sum(content.num_ignored for content in others),
        repairs=repairs,
        ignored_as=others[0].ignored_as if others else "other",
    )


def json_format(
    *,
    name: str,
    read: ReadObject,
    keys: tuple[str, ...] = (),
    content_types: tuple[str, ...] = (),
    read_columns: ReadColumns | None = None,
) -> Format:
    """Return a format of which every record is one JSON object.

    `Format` says what the arguments are.
    """

    def decode(value: bytes, limits: Limits) -> Content:
        return read(json_object(value), limits)

    return Format(
        name=name,
        content_types=content_types,
        keys=keys,
        decode=decode,
        read=read,
        read_columns=read_columns,
    )
