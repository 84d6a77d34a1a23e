"""Takes out of a feed's logs the texts that an erasure took out of the shard."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple, TypeVar

from stream.feed.changes import ShardChanges
from stream.feed.codec import pack_changes, unpack_changes
from stream.feed.folder import FeedFiles
from stream.feed.log import HEAD_BYTES, LogName, frame, frames

_Text = TypeVar("_Text")


class _Gone(NamedTuple):
    """After which write texts are gone, by key."""

    queries: dict[int, int]
    items: dict[int, int]


def redact_feed(files: FeedFiles, is_wanted: Callable[[], bool]) -> bool:
    """Rewrite the logs in which an erasure left texts, without these.

    A record stays as long as it was, so that whoever reads goes on where it was.

    Args:
        files: of the feed; nobody appends to a log that is there.
        is_wanted: asked before each log; False: the rest is left.

    Returns:
        Whether all was done.

    Raises:
        OSError: they cannot be read or written; what was there is still there.
    """
    gone = _Gone({}, {})
    names = files.logs()
    for name in names:
        if not is_wanted():
            return False
        _note_gone(files, name, gone)
    for name in names if gone.queries or gone.items else ():
        if not is_wanted():
            return False
        with suppress(FileNotFoundError):  # removed meanwhile, being the oldest
            _redact_log(files, name, gone)
    return True


def _note_gone(files: FeedFiles, name: LogName, gone: _Gone) -> None:
    """Note which texts the records of a log say to be gone."""
    with suppress(FileNotFoundError):
        for each in frames(files.read(name, HEAD_BYTES), HEAD_BYTES):
            changes = unpack_changes(each.record)
            for known, keys in (
                (gone.queries, changes.gone_queries),
                (gone.items, changes.gone_items),
            ):
                for key in keys.tolist():
                    known[key] = max(known.get(key, 0), each.sequence)


def _redact_log(files: FeedFiles, name: LogName, gone: _Gone) -> None:
    content = files.read(name, 0)
    parts, is_changed = [content[:HEAD_BYTES]], False
    for each in frames(content[HEAD_BYTES:], HEAD_BYTES):
        record = _redacted(each.record, gone)
        is_changed |= record is not each.record
        parts += [frame(record), record]
    # What is behind the last whole record was never applied, and goes as well.
    if is_changed or sum(map(len, parts)) < len(content):
        files.rewrite(name, b"".join(parts))


def _redacted(record: bytes, gone: _Gone) -> bytes:
    """Return a record without the texts that are gone after it, as long as before."""
    before = unpack_changes(record)
    after = replace(
        before,
        query_names=_kept(before.query_names, gone.queries, before),
        item_names=_kept(before.item_names, gone.items, before),
        catalog=_kept(before.catalog, gone.items, before),
    )
    is_same = (after.query_names, after.item_names, after.catalog) == (
        before.query_names,
        before.item_names,
        before.catalog,
    )
    return record if is_same else pack_changes(after).ljust(len(record), b"\0")


def _kept(
    texts: Mapping[int, _Text], gone: Mapping[int, int], of: ShardChanges
) -> dict[int, _Text]:
    return {key: text for key, text in texts.items() if gone.get(key, 0) <= of.sequence}
