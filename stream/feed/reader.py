"""Reads what the shards of a store changed, from their feeds."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from stream.errors import PARSE_ERRORS, FeedUnreadable, refusal
from stream.feed.changes import ShardChanges, WriterMark
from stream.feed.codec import BAD_RECORD_ERRORS, unpack_changes
from stream.feed.folder import FeedFolders, FeedPlace, feed_root
from stream.feed.follower import ShardFollower
from stream.feed.log import NoPath
from stream.feed.objects import FeedObjects
from stream.feed.status import Status

__all__ = ["Feed", "FeedRead", "open_feed"]

# Bytes of records that one read returns, about; bounds memory, some ten times as much.
# Twice as many double it, and a reader that was away catches up in half as many reads.
_MOST_BYTES = 64 * 1024 * 1024
# Tries of a shard whose logs are removed or rewritten while they are read.
_ATTEMPTS = 3


NOT_KEPT = "no feed of it is kept"
"""The gap of a shard that nobody follows, as after a load of files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedRead:
    """What a read found.

    Attributes:
        changes: in order of the writes of each shard.
        marks: the place that each shard's changes reach; of a shard with a gap, the
            place that was given.
        reflected: by shard, up to when every record that had reached its partitions, in
            broker time, is in the changes up to `marks`; 0: nothing can be said. A
            shard with a gap is left out.
        watermark_ms: the least over shards of the largest event time applied, of those
            that have applied any; 0: none has.
        gaps: why the changes of a shard since the given place are not all known, by its
            index; none of them are returned.
        rewound: a shard went back behind the given place, such as to a checkpoint: what
            it had changed since is not so any more, and comes again.
        has_more: there is more to read.
    """

    changes: list[ShardChanges]
    marks: dict[int, WriterMark]
    reflected: dict[int, int]
    watermark_ms: int
    gaps: dict[int, str]
    rewound: bool
    has_more: bool

    @property
    def reflected_ms(self) -> int:
        """The least of `reflected`: so far all shards are, once all changes are taken;
        0: nothing can be said.
        """
        return min(self.reflected.values(), default=0)


class _ShardRead(NamedTuple):
    """What was read of one shard."""

    changes: list[ShardChanges]
    mark: WriterMark
    num_bytes: int
    gap: str = ""
    rewound: bool = False


def open_feed(source: Path | str) -> "Feed":
    """Open the feeds of a store's shards; any number may read them, and nothing need be
    there yet.

    Args:
        source: the store's folder; or, as text, the URL of its checkpoints
            (`stream.checkpoints_url`), of whichever machine has which shard.

    Raises:
        SettingsInvalid: the URL is none that can be used.
    """
    if isinstance(source, Path):
        return Feed(FeedFolders(feed_root(source)))
    return Feed(FeedObjects(source))


class Feed:
    """The feeds of a store's shards.

    Args:
        place: where they are.
    """

    def __init__(self, place: FeedPlace) -> None:
        self._place = place
        self._followers: dict[int, ShardFollower] = {}

    def read(self, since: Mapping[int, WriterMark]) -> FeedRead:
        """Return what changed since a place in the history of each shard.

        Costs a look at a small folder and a small file a shard where nothing did.

        Args:
            since: the place by shard, such as of a snapshot; of a shard that is not
                named: its begin.

        Raises:
            FeedUnreadable: the files cannot be read.
        """
        shards = self._shards()
        changes: list[ShardChanges] = []
        marks, gaps = dict(since), dict[int, str]()
        reflected, watermarks = dict[int, int](), list[int]()
        left, rewound, has_more = _MOST_BYTES, False, False
        for index in sorted(shards | since.keys()):
            status = self._status(index) if index in shards else None
            if status is None:
                gaps[index] = NOT_KEPT
                continue
            found = self._read_shard(index, since.get(index, WriterMark()), status, left)
            marks[index] = found.mark
            changes += found.changes
            left -= found.num_bytes
            rewound |= found.rewound
            if found.gap:
                gaps[index] = found.gap
                continue
            is_end = found.mark == status.mark
            has_more |= not is_end
            told = max((each.reflected_ms for each in found.changes), default=0)
            reflected[index] = max(told, status.reflected_ms) if is_end else told
            if status.watermark_ms:
                watermarks.append(status.watermark_ms)
        return FeedRead(
            changes=changes,
            marks=marks,
            reflected=reflected,
            watermark_ms=min(watermarks, default=0),
            gaps=gaps,
            rewound=rewound,
            has_more=has_more,
        )

    def close(self) -> None:
        """Forget what is known of the files."""
        self._followers.clear()

    def _shards(self) -> set[int]:
        try:
            return self._place.shards()
        except OSError as error:
            raise self._unreadable(error) from error

    def _status(self, index: int) -> Status | None:
        try:
            return self._follower(index).files.status()
        except (OSError, *PARSE_ERRORS) as error:
            raise self._unreadable(error) from error

    def _follower(self, index: int) -> ShardFollower:
        if index not in self._followers:
            self._followers[index] = ShardFollower(self._place.files(index))
        return self._followers[index]

    def _read_shard(
        self, index: int, since: WriterMark, status: Status, most_bytes: int
    ) -> _ShardRead:
        if since == status.mark or most_bytes <= 0:
            return _ShardRead([], since, 0)
        for _ in range(_ATTEMPTS):
            try:
                return _read_on(self._follower(index), since, status, most_bytes)
            except NoPath as gap:
                return _ShardRead([], since, 0, str(gap), gap.rewound)
            except FileNotFoundError:
                continue
            except (OSError, *BAD_RECORD_ERRORS) as error:
                raise self._unreadable(error) from error
        return _ShardRead([], since, 0, "its logs go faster than they can be read")

    def _unreadable(self, error: Exception) -> FeedUnreadable:
        advice = refusal(error) or "it is tried again; take a new snapshot if that does not help"
        return FeedUnreadable(f"the feed at {self._place} cannot be read ({error}); {advice}")


def _read_on(
    follower: ShardFollower, since: WriterMark, status: Status, most_bytes: int
) -> _ShardRead:
    changes: list[ShardChanges] = []
    num_bytes = 0
    for name, each in follower.frames(since, status):
        changes.append(unpack_changes(each.record))
        num_bytes += len(each.record)
        if num_bytes >= most_bytes:
            mark = WriterMark(name.writer, each.sequence)
            return _ShardRead(changes, mark, num_bytes)
    return _ShardRead(changes, status.mark, num_bytes)
