"""One generation and the overlay over it: reads the feed, recomputes, publishes."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from model.artifact.generation import Generation
from model.artifact.overlay.folder import OverlayFolder
from model.artifact.overlay.gone import GoneList
from model.artifact.overlay.merge import merge_rows
from model.artifact.overlay.pointer import Newest
from model.artifact.overlay.publisher import OverlayPublisher
from model.artifact.overlay.segment import Claim, OverlayRows, no_rows
from model.errors import SegmentRefused
from model.fresh.pauses import Pause, no_pause
from model.fresh.result import RoundResult
from model.refresher.claims import (
    carried,
    covers,
    first_claim,
    marks_of,
    places_of,
    stages_of,
    with_reason,
)
from model.refresher.parts import Parts, Vectors
from model.refresher.rows import checked_rows
from model.refresher.waiting.backlog import Backlog, Batch, Taken, erases
from stream.feed.changes import ShardChanges, WriterMark

logger = logging.getLogger(__name__)

# Rounds' worth of changes that may wait, in memory: some 60 MB with the usual bound of
# one. What is behind them in the feed is not seen, deletions included, so few would
# be too few; twice as many take twice the memory.
_MOST_ROUNDS_WAITING = 50
# Changes that a round takes in within some hundredths of a second: with as few, what is
# urgent brings a round at once. Twice as many: a tenth of a core more where something
# is urgent all the time.
_FEW_CHANGES = 500
# Seconds of a round for which what is urgent may wait: a fifth of the time in which a
# deletion should be seen. Twice as many: it is seen so much later in a busy shop.
_SHORT_ROUND_SECONDS = 0.3
# Share of `RefreshSettings.fresh_every_seconds` after which what is urgent brings the
# next round before its time. Half as much: up to twice the rounds.
_EARLY_SHARE = 0.5

# Rounds that are kept apart while they cannot be published: then their rows are merged,
# and of their times the oldest and the newest stay. Twice as many: twice the memory.
_MOST_PENDING = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a lane has come.

    Attributes:
        marks: the place in the feed that was read last, by shard.
        claim: what has been taken in.
        gaps: why the changes of a shard since the generation are not all known.
        skipped: those of them behind which reading went on; the others are over once
            the feed leads on from where it was read.
        is_begun: whether the feed was read at all.
        is_caught_up: whether all that the feed had was taken in at some time.
        is_rewound: whether a shard went back, so that all has to be done again.
        is_erasing: whether an erasure that left nothing of something was read since the
            last round began.
        ahead_ms: how far the feed's times are ahead of this machine's clock; 0: not.
        late_ms: how old new writes are when they are read, by this machine's clock.
    """

    marks: Mapping[int, WriterMark]
    claim: Claim
    gaps: Mapping[int, str] = field(default_factory=dict)
    skipped: Mapping[int, str] = field(default_factory=dict)
    is_begun: bool = False
    is_caught_up: bool = False
    is_rewound: bool = False
    is_erasing: bool = False
    ahead_ms: int = 0
    late_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """What was recomputed and is not published yet.

    Attributes:
        parts: rows of each round.
        changes: the writes that they are the first to have.
        embedded: when each round was done, by the monotonic clock, and how many writes
            it took in.
    """

    parts: tuple[OverlayRows, ...] = ()
    changes: tuple[ShardChanges, ...] = ()
    embedded: tuple[tuple[float, int], ...] = ()

    def with_round(
        self, rows: OverlayRows, taken: Sequence[ShardChanges], done: float
    ) -> "Pending":
        """Return this and what a round recomputed.

        Args:
            rows: of the round.
            taken: the writes that it took in.
            done: when, by the monotonic clock.
        """
        parts = self.parts if rows.is_empty else (*self.parts, rows)
        changes = (*self.changes, *map(_times_of, taken))
        return Pending(
            parts=parts if len(parts) <= _MOST_PENDING else (merge_rows(parts),),
            changes=(*changes[:1], *changes[1:][-_MOST_PENDING:]),
            embedded=(*self.embedded, (done, len(taken)))[-_MOST_PENDING:],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What a round did.

    Attributes:
        carried: nodes that wait for a later one.
        withheld: the largest movement that waits or is not followed, in radians.
        seconds: how long it took, without publishing.
    """

    carried: int = 0
    withheld: float = 0.0
    seconds: float = 0.0


class Names:
    """What an overlay has vectors of."""

    def __init__(self) -> None:
        self.items: set[str] = set()
        self.queries: set[str] = set()

    def take(self, rows: OverlayRows) -> None:
        """Take in rows that were published."""
        self.items.difference_update(rows.gone_items)
        self.items.update(rows.item_ids)
        self.queries.update(rows.query_texts)


class Lane:
    """A generation, and what the feed says since its snapshot.

    Where an overlay of the generation is there from before, nothing is published until
    all that it claims is reached again: freshness never goes back. Where the feed does
    not reach back to the snapshot, its rows stay, and those of what changes go on top.

    Args:
        parts: what the refresher works with.
        generation: the generation.
        vectors: its vectors.
        gone: the items that no generation may show.
    """

    def __init__(
        self, parts: Parts, generation: Generation, vectors: Vectors, gone: GoneList
    ) -> None:
        self.generation_id = generation.id
        self.names = Names()
        self._parts = parts
        self._vectors = vectors
        self._dim = generation.manifest.dim
        self._feed = parts.open_feed()
        self._folder = OverlayFolder.of(parts.artifacts.root)
        self._publisher = OverlayPublisher(
            self._folder, generation.id, self._dim, gone, clock_ms=parts.clock_ms
        )
        self._floor = _newest_of(self._folder, generation.id)
        self._backlog = Backlog()
        self._pending = Pending()
        self._last = Round()
        self._published: Claim | None = None
        self._next_round = 0.0
        self._next_renewal = 0.0
        claim = first_claim(generation.manifest.snapshot)
        self._progress = Progress(marks=places_of(claim.marks), claim=claim)

    @property
    def progress(self) -> Progress:
        """How far it has come."""
        return self._progress

    @property
    def published(self) -> Claim | None:
        """What is claimed for what was published last; None: nothing was yet."""
        return self._published

    @property
    def served(self) -> Claim | None:
        """What is claimed for the overlay that is there, whoever published it; None:
        none is.
        """
        if self._published is not None or self._floor is None:
            return self._published
        return self._floor.claim

    @property
    def last_round(self) -> Round:
        """What the last round did."""
        return self._last

    @property
    def sequence(self) -> int:
        """Number of the newest segment."""
        return self._publisher.sequence

    @property
    def waiting(self) -> int:
        """Changes that were read and wait for a round."""
        return self._backlog.size

    @property
    def is_partial(self) -> bool:
        """Whether clicks and sessions wait for the next generation: this one has
        nothing to continue from.
        """
        return self._vectors.is_partial

    @property
    def is_gapped(self) -> bool:
        """Whether it lacks some of what changed, so that it claims no more than the
        generation does.
        """
        return self.is_partial or bool(self._progress.gaps)

    @property
    def is_held(self) -> bool:
        """Whether it is behind the overlay that was there before it."""
        progress, floor = self._progress, self._floor
        if self._published is not None or floor is None or self.is_gapped:
            return False
        return not covers(progress.claim, floor.claim)

    def close(self) -> None:
        """Give the feed back."""
        self._feed.close()

    def is_due(self, now: float) -> bool:
        """Whether a round is due, by the monotonic clock.

        What waits is taken in once its time has come, at once where the round before it
        was long ago, where it is urgent, or where there is more than one round takes
        in. Where nothing waits, it is time to say how fresh the overlay is by now.
        """
        waiting, settings = self._backlog.size, self._parts.settings
        if not waiting and not self._last.carried:
            return now >= self._next_renewal
        return (
            self._progress.is_erasing
            or self._backlog.num_urgent > 0
            or now >= self._next_round
            or waiting >= settings.max_round_changes
            or not self._progress.is_caught_up
        )

    def look(self) -> None:
        """Read what is new in the feed, unless much waits already.

        Raises:
            StreamError: the feed cannot be read.
            OSError: the same.
        """
        progress = self._progress
        most = _MOST_ROUNDS_WAITING * self._parts.settings.max_round_changes
        if self._backlog.size >= most:
            return
        read = self._feed.read(progress.marks)
        skipped = dict(progress.skipped)
        if read.gaps and not progress.is_begun and self._floor is not None:
            skipped = dict(read.gaps)
            read = self._feed.read({**read.marks, **self._go_on_from(self._floor, skipped)})
        gaps = {**skipped, **read.gaps}
        if gaps.keys() - progress.gaps.keys():
            logger.warning("feed_gap generation=%s shards=%s", self.generation_id, gaps)
        now = self._parts.clock_ms()
        is_known = not gaps and not self.is_partial
        self._backlog.add(
            Batch(
                changes=read.changes,
                marks=read.marks,
                reflected=read.reflected if is_known else None,
                watermark_ms=read.watermark_ms if is_known and not read.has_more else 0,
                is_end=not read.has_more,
            )
        )
        self._progress = replace(
            progress,
            marks=read.marks,
            gaps=gaps,
            skipped=skipped,
            is_begun=True,
            is_rewound=progress.is_begun and read.rewound,
            is_erasing=progress.is_erasing or erases(read.changes),
            ahead_ms=max(read.reflected_ms - now, 0),
            late_ms=_lateness(read.changes, now, progress),
        )

    @property
    def goes_ahead(self) -> bool:
        """Whether something that is urgent is to be taken in alone: what waits with it
        would hold it up, or has its turn soon enough.
        """
        if not self._backlog.num_urgent or self._published is None:
            return False
        if self._backlog.size <= _FEW_CHANGES:
            return False
        early = self._next_round - _EARLY_SHARE * self._parts.settings.fresh_every_seconds
        is_early = self._parts.monotonic() < early
        return is_early or self._last.seconds > _SHORT_ROUND_SECONDS

    def go_ahead(self) -> None:
        """List the items that are new, and take out those that are gone, whatever
        waits before them.

        Of what is claimed it is how far the catalogue is: all that waits is not there.
        """
        settings = self._parts.settings
        taken = self._backlog.take_urgent(settings.max_round_changes)
        began = self._parts.monotonic()
        self._keep(self._vectors.apply_catalog(taken.catalog), taken, began)
        self._claim(taken)

    def go_between(self, *, is_open: bool) -> bool:
        """Do what `go_ahead` does in the midst of a round, where it pauses.

        Args:
            is_open: of `model.fresh.pauses.Pause`: else items are taken out alone.

        Returns:
            Whether anything was urgent.
        """
        backlog, vectors = self._backlog, self._vectors
        if self._published is None or not (backlog.num_urgent if is_open else backlog.num_gone):
            return False
        began, limit = self._parts.monotonic(), self._parts.settings.max_round_changes
        taken = backlog.take_within(limit, gone_alone=not is_open)
        apply = vectors.apply_catalog if is_open else vectors.take_out
        self._keep(apply(taken.catalog), taken, began)
        self._claim(taken)
        return True

    def round(self, asked: Mapping[str, float], pause: Pause = no_pause) -> None:
        """Take in what waits, as much as one round may, and recompute what it moves.

        Args:
            asked: how often each normalised query text is asked.
            pause: called between the steps; it may look, `go_between` and publish.
        """
        settings = self._parts.settings
        taken = self._backlog.take(settings.max_round_changes)
        began = self._parts.monotonic()
        self._next_renewal = began + settings.fresh_every_seconds
        self._progress = replace(self._progress, is_erasing=False)
        if taken.changes or self._last.carried:
            self._next_round = began if self._backlog.size else self._next_renewal
            result = self._vectors.apply(taken.changes, asked, pause)
            self._last = Round(
                carried=result.carried,
                withheld=result.withheld,
                seconds=self._parts.monotonic() - began,
            )
            self._keep(result, taken, began)
            self._count_embedded(taken.writes)
        self._claim(taken)

    def publish(self, reason: str) -> bool:
        """Publish what was recomputed, and how fresh the overlay is by now.

        Args:
            reason: why it is behind, for people; empty: it is not.

        Returns:
            Whether anything was published; False: it is held.

        Raises:
            SegmentRefused: another refresher writes the overlay by now.
            OSError: it cannot be written; what was recomputed stays for the next time.
        """
        if self.is_held:
            return False
        claim = self._progress.claim
        if self._floor is not None and not self.is_gapped:
            claim = carried(claim, self._floor.claim)
        claim = with_reason(claim, reason, self._parts.clock_ms())
        pending = self._pending
        if pending.parts or self._published is None:
            rows = merge_rows((no_rows(self._dim), *pending.parts))
            oldest, newest = stages_of(pending.changes)
            self._publisher.publish(rows, claim, oldest=oldest, newest=newest)
            self.names.take(rows)
            now = self._parts.monotonic()
            for embedded, writes in pending.embedded:
                self._parts.metrics.published(now - embedded, writes)
        else:
            self._publisher.renew(claim)
        self._pending = Pending()
        self._published = claim
        return True

    def audit(self) -> float:
        """Return the worst cosine of some vectors to what a full pass would give."""
        return self._vectors.audit(self._parts.settings.audit_nodes)

    def _keep(self, result: RoundResult, taken: Taken, began: float) -> None:
        """Keep what was recomputed until it is published."""
        metrics, now = self._parts.metrics, self._parts.monotonic()
        rows, unfit = checked_rows(result)
        self._pending = self._pending.with_round(rows, taken.writes, now)
        if unfit:
            logger.error("vectors_unfit generation=%s names=%s", self.generation_id, unfit)
        metrics.poisoned(result.poisoned + len(unfit))
        metrics.round_done(
            seconds=now - began,
            recomputed=result.recomputed,
            carried=result.carried,
            withheld=result.withheld,
        )

    def _claim(self, taken: Taken) -> None:
        """Claim what is true now that something is taken in."""
        claim, done = self._progress.claim, taken.done
        reflected_ms = max(claim.reflected_ms, taken.reflected_ms)
        claim = replace(
            claim,
            reflected_ms=reflected_ms,
            catalog_reflected_ms=max(
                claim.catalog_reflected_ms, taken.catalog_reflected_ms, reflected_ms
            ),
        )
        if done is not None:
            marks = claim.marks if self.is_gapped else marks_of(done.marks)
            watermark_ms = done.watermark_ms or claim.watermark_ms
            claim = replace(claim, marks=marks, watermark_ms=watermark_ms)
        self._progress = replace(
            self._progress,
            claim=claim,
            is_caught_up=self._progress.is_caught_up or (done is not None and done.is_end),
        )

    def _go_on_from(self, floor: Newest, lost: Mapping[int, str]) -> dict[int, WriterMark]:
        """Take over the rows of the overlay from before, and return where it ended in
        the shards that the feed does not know all of.
        """
        try:
            rows = _rows_of(self._folder, floor, self._dim)
        except (SegmentRefused, OSError) as error:
            logger.warning("overlay_lost generation=%s error=%s", self.generation_id, error)
            return {}
        self._pending = Pending(parts=(rows,))
        places = places_of(floor.claim.marks)
        return {shard: places[shard] for shard in lost if shard in places}

    def _count_embedded(self, taken: Iterable[ShardChanges]) -> None:
        """Count how long writes took; those that are read again took no such time."""
        if self._progress.is_caught_up:
            now = self._parts.clock_ms()
            for each in taken:
                self._parts.metrics.embedded((now - each.written_ms) / 1000)


def _times_of(changes: ShardChanges) -> ShardChanges:
    """Return a write without what it changed."""
    return ShardChanges(
        shard=changes.shard,
        sequence=changes.sequence,
        written_ms=changes.written_ms,
        oldest_record_ms=changes.oldest_record_ms,
        newest_record_ms=changes.newest_record_ms,
        consumed_ms=changes.consumed_ms,
        event_ms=changes.event_ms,
    )


def _lateness(changes: Iterable[ShardChanges], now_ms: int, progress: Progress) -> int:
    """Return how old the newest write is that was just read, by this machine's clock.

    While a lane catches up, writes are old whatever the clock.
    """
    written = max((each.written_ms for each in changes), default=0)
    if not written or not progress.is_caught_up:
        return progress.late_ms
    return max(now_ms - written, 0)


def _newest_of(folder: OverlayFolder, generation_id: str) -> Newest | None:
    """Return what the overlay of a generation claims that is there already."""
    try:
        return folder.newest(generation_id)
    except (SegmentRefused, OSError) as error:
        logger.warning("overlay_lost generation=%s error=%s", generation_id, error)
        return None


def _rows_of(folder: OverlayFolder, newest: Newest, dim: int) -> OverlayRows:
    """Return all rows of an overlay.

    Raises:
        SegmentRefused: one of its segments cannot be used.
        OSError: one cannot be read.
    """
    numbers = range(newest.first_sequence, newest.sequence + 1)
    return merge_rows(
        [folder.segment(newest.generation_id, number, dim=dim).rows for number in numbers]
    )
