"""Pure: events and items as somebody types them, checked before any is published."""

import json
from collections.abc import Iterable

from freshet.logs.printable import printable
from freshet.process import CommandError
from freshet.shop.replay import as_it_came
from stream.events.decoder import Decoded, Decoder
from stream.events.types import CatalogItem, Interaction, Record, SourcePartition
from stream.settings import StreamSettings

Given = Interaction | CatalogItem

# What a line of ours has that may lack its time; the fields are those of formats.md.
_OURS = {"event": "type", "item": "item_id"}
# Lines that are told of: a screenful. Twice as many say no more about what to mend.
_MOST_TOLD = 10


def read_given(
    lines: Iterable[tuple[int, bytes]], kind: str, settings: StreamSettings, now_ms: int
) -> list[Given]:
    """Return what lines hold, read as the stream reads them.

    A line of ours without a time is of now.

    Args:
        lines: each with its number, for messages.
        kind: what they hold: ``event`` or ``item``.
        settings: topics, limits and mapping.
        now_ms: the clock, UTC epoch milliseconds.

    Raises:
        CommandError: a line would be refused, or holds nothing that can be published by
            itself; it says which, why, and what to do.
    """
    decoder = Decoder(settings)
    topic = settings.catalog_topic if kind == "item" else settings.clicks_topic
    given: list[Given] = []
    refused: list[str] = []
    for number, line in lines:
        record = Record(
            position=SourcePartition(topic, 0),
            offset=number,
            next_offset=number + 1,
            content_type="",
            key=None,
            value=line if settings.mapping else _timed(line, kind, now_ms),
        )
        decoded = decoder.decode(record, now_ms)
        given += [each for each in decoded.events if isinstance(each, Given)]
        refused += [printable(f"line {number}: {why}") for why in _faults(decoded)]
    if refused:
        more = "" if len(refused) <= _MOST_TOLD else f" (and {len(refused) - _MOST_TOLD:,} more)"
        said = "; ".join(refused[:_MOST_TOLD])
        raise CommandError(
            f"{said}{more}. Nothing was published: mend it, or see what is read of it with "
            f"`freshet try-events - --kind {kind}`"
        )
    return [as_it_came(each) if isinstance(each, CatalogItem) else each for each in given]


def _faults(decoded: Decoded) -> list[str]:
    """Return why a line cannot be published, whole or in part."""
    faults = [f"{rejection.reason}: {rejection.detail}" for rejection in decoded.rejections]
    if decoded.num_ignored:
        faults.append(f"ignored as {decoded.ignored_as}")
    others = [each for each in decoded.events if not isinstance(each, Given)]
    if others:
        faults.append(
            "it is a search without an action, or an erasure: publish the action with its "
            "query, or use `freshet erase`"
        )
    return faults


def _timed(line: bytes, kind: str, now_ms: int) -> bytes:
    """Return a line, of now where it is one of ours and has no time."""
    try:
        found = json.loads(line)
    except ValueError:  # the decoder says what is wrong with it
        return line
    if not isinstance(found, dict) or _OURS[kind] not in found or "specversion" in found:
        return line
    return (
        line if found.get("ts_ms") is not None else json.dumps({**found, "ts_ms": now_ms}).encode()
    )
