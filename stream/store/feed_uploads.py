"""Puts what is new in the feeds of a process's shards beside their checkpoints, about
once a second, for those who follow the graph on other machines.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

import msgspec

from stream.errors import CheckpointsUnavailable
from stream.feed.changes import WriterMark
from stream.feed.codec import BAD_RECORD_ERRORS
from stream.feed.folder import FeedFolder, feed_folder
from stream.feed.follower import ShardFollower
from stream.feed.log import (
    HEAD_BYTES,
    Frame,
    LogHead,
    LogName,
    NoPath,
    frame,
    pack_head,
    path_between,
    unpack_head,
)
from stream.feed.objects import FeedObjects, ShardObjects
from stream.feed.redaction import redact_feed
from stream.feed.status import Status
from stream.metrics import StreamMetrics
from stream.shard.fencing import shard_name

if TYPE_CHECKING:
    from _thread import LockType

logger = logging.getLogger(__name__)

# Seconds between two uploads of a shard; each is two requests or three. Twice as many:
# half of them, and who follows from elsewhere sees changes a second later.
_EVERY_SECONDS = 1.0
# Objects of a shard; at one a second, which is the most, three quarters of an hour.
# Twice as many reach back twice as far, and take twice as long to list.
_MOST_OBJECTS = 2048
# Uploads of a shard between two looks for objects that are too many. Twice as many:
# half the listings, and up to so many more objects.
_TRIM_EVERY = 60


@dataclass(slots=True)
class _Watched:
    """The feed of one shard, here and there.

    Attributes:
        term: returns our term of the shard; None: none is claimed yet.
        local: follows the feed here.
        there: the objects.
        mark: the place that the objects have reached; None: not known yet.
        told: what the status there says: that place, and the time that it claims; None:
            nothing was put there yet.
        num_uploads: how often something was put there.
        lock: held by whoever writes there.
    """

    term: Callable[[], int | None]
    local: ShardFollower
    there: ShardObjects
    mark: WriterMark | None = None
    told: tuple[WriterMark, int] | None = None
    num_uploads: int = 0
    lock: "LockType" = field(default_factory=Lock)


class FeedUploads:
    """The feeds of a process's shards, put beside their checkpoints by a thread of its
    own.

    Args:
        root: the store's folder.
        url: of the checkpoints.
        most_bytes: that the objects of a shard may have.
        metrics: what is counted.
    """

    def __init__(self, root: Path, url: str, most_bytes: int, metrics: StreamMetrics) -> None:
        self._root = root
        self._place = FeedObjects(url)
        self._most_bytes = most_bytes
        self._metrics = metrics
        self._watched: dict[int, _Watched] = {}
        self._closing = Event()
        self._thread: Thread | None = None

    def watch(self, index: int, term: Callable[[], int | None]) -> None:
        """Begin to upload the feed of a shard.

        Args:
            index: the shard's.
            term: returns the term of the shard's checkpoints that is ours; None: none
                is yet.
        """
        folder = FeedFolder(feed_folder(self._root / shard_name(index)))
        self._watched[index] = _Watched(term, ShardFollower(folder), self._place.files(index))
        if self._thread is None:
            self._thread = Thread(target=self._run, name="feed-uploads", daemon=True)
            self._thread.start()

    def forget(self, index: int) -> None:
        """Upload no more of a shard's feed."""
        self._watched.pop(index, None)

    def finish(self, index: int, wait_seconds: float) -> None:
        """Upload the rest of the feed of a shard that is about to be given away, and no
        more.

        Args:
            index: the shard's.
            wait_seconds: how long that may take.
        """
        watched = self._watched.pop(index, None)
        if watched is None:
            return
        last = Thread(target=self._upload, args=(index, watched), daemon=True)
        last.start()
        last.join(wait_seconds)
        if last.is_alive():
            logger.warning("feed takes long to upload shard=%d", index)

    def redact(self, index: int) -> None:
        """Take out of a shard's objects the texts that erasures took out of the shard.

        Where nothing tells which, all objects are removed.

        Raises:
            CheckpointsUnavailable: they cannot be reached.
        """
        watched = self._watched.get(index)
        try:
            if watched is None:
                _remove_all(self._place.files(index))
                return
            with watched.lock:
                try:
                    self._put_all(index, watched)
                    redact_feed(watched.there, lambda: True)
                except NoPath:
                    watched.mark = None
                    _remove_all(watched.there)
        except (OSError, *BAD_RECORD_ERRORS) as error:
            raise CheckpointsUnavailable(
                f"the feed of shard {index} at {self._place} cannot be rewritten ({error}); "
                "see whether the place is there"
            ) from error

    def close(self) -> None:
        """End the thread."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._closing.wait(_EVERY_SECONDS):
            for index, watched in list(self._watched.items()):
                self._upload(index, watched)

    def _upload(self, index: int, watched: _Watched) -> None:
        try:
            with watched.lock:
                self._put_all(index, watched)
        except NoPath as gap:
            watched.mark = None
            logger.warning("feed goes on behind a gap shard=%d gap=%s", index, gap)
        except (OSError, *BAD_RECORD_ERRORS) as error:
            self._metrics.count_feed_upload_failure()
            logger.warning("feed not uploaded shard=%d error=%s", index, error)

    def _put_all(self, index: int, watched: _Watched) -> None:
        """Put there what is new, then up to where that counts."""
        term, status = watched.term(), watched.local.files.status()
        if term is None or status is None:
            return
        if watched.told == (status.mark, status.reflected_ms):
            return
        if watched.there.newest_term() > term:  # somebody else has the shard by now
            return
        if watched.mark is None:
            watched.mark = _resumed(watched, status)
        if _put_new(index, term, watched, status):
            watched.num_uploads += 1
            if watched.num_uploads % _TRIM_EVERY == 0:
                self._trim(watched.there)
        writer, sequence = watched.mark
        told = msgspec.structs.replace(status, writer=writer, sequence=sequence, file="", offset=0)
        if watched.told != (watched.mark, told.reflected_ms):
            watched.there.put_status(term, told)
            watched.told = watched.mark, told.reflected_ms

    def _trim(self, there: ShardObjects) -> None:
        """Remove the oldest objects that are too many."""
        left, kept = self._most_bytes, 0
        for name, size in reversed(there.sizes()):
            left, kept = left - size, kept + 1
            if left < 0 or kept > _MOST_OBJECTS:
                there.remove(name)


def _remove_all(there: ShardObjects) -> None:
    for name in there.logs():
        there.remove(name)


def _resumed(watched: _Watched, status: Status) -> WriterMark:
    """Return the place from which to go on: that of the objects, where the feed here
    leads from it; else where the newest log here begins, which leaves a gap.
    """
    names = watched.local.files.logs()

    def head_of(name: LogName) -> LogHead:
        return unpack_head(watched.local.files.read(name, 0, HEAD_BYTES))

    there = watched.there.status()
    if there is not None:
        try:
            path_between(names, head_of, there.mark, status.mark)
        except NoPath as gap:
            logger.warning("feed elsewhere has a gap shard=%d gap=%s", status.shard, gap)
        else:
            return there.mark
    own = [name for name in names if name.writer == status.writer]
    return head_of(min(own)).previous if own else status.mark


def _put_new(index: int, term: int, watched: _Watched, status: Status) -> bool:
    """Put the records after the mark there, and move it.

    Return whether there were any.
    """
    mark = watched.mark or WriterMark()
    found: dict[str, list[Frame]] = {}
    for name, each in watched.local.frames(mark, status):
        found.setdefault(name.writer, []).append(each)
    for writer, records in found.items():
        first, last = records[0].sequence, records[-1].sequence
        head = pack_head(LogHead(index, writer, first, mark))
        parts = [part for each in records for part in (frame(each.record), each.record)]
        watched.there.put(term, LogName(first, writer, last), b"".join([head, *parts]))
        watched.mark = mark = WriterMark(writer, last)
    return bool(found)
