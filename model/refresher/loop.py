"""The loop of the refresher: follows the live generation, and refreshes over it."""

import logging
from functools import partial
from shutil import rmtree
from threading import Event

from model.artifact.overlay.folder import OverlayFolder
from model.artifact.overlay.gone import GoneList
from model.artifact.overlay.lock import OverlayLock
from model.artifact.overlay.segment import SegmentFault
from model.errors import ArtifactError, ModelError, OverlayLocked, SegmentRefused
from model.refresher.claims import covers
from model.refresher.diagnosis import trouble_of
from model.refresher.lane import Lane
from model.refresher.opening import GenerationOpener
from model.refresher.parts import Parts
from model.refresher.reasons import Behind, Trouble
from model.refresher.telling import Teller
from model.refresher.wishes import Wishes

logger = logging.getLogger(__name__)

# Generations in a row whose snapshots the feed does not reach back to, after which none
# is hoped to. One may be chance, such as a bulk load; twice as many serve an old one
# for longer.
_MOST_GAPPED = 2
# Milliseconds that the clocks of tuner and refresher may differ by: what is gone is
# forgotten so much later. Twice as many keep some more ids.
_CLOCKS_APART_MS = 3_600_000


def run_refresher(parts: Parts, stop: Event) -> None:
    """Keep the overlay of the live generation fresh until `stop` is set.

    Whatever fails is logged, counted, told and tried again; the overlay stays as it is
    meanwhile, and gets older.

    Raises:
        OverlayLocked: another refresher writes overlays here; the message says which.
        SegmentRefused: another one has taken over.
    """
    lock = _locked(parts, stop)
    if lock is None:
        return
    refresher = Refresher(parts)
    try:
        while not stop.is_set():
            is_busy = refresher.step()
            stop.wait(0.0 if is_busy else parts.settings.poll_seconds)
    finally:
        refresher.close()
        lock.release()


def _locked(parts: Parts, stop: Event) -> OverlayLock | None:
    """Return the lock of the overlays; None: told to stop before there was one."""
    folder, teller = OverlayFolder.of(parts.artifacts.root), Teller(parts)
    while not stop.is_set():
        try:
            return OverlayLock(folder.lock_path)
        except OverlayLocked:
            raise
        except OSError as error:
            teller.tell((), teller.failed(Behind.PUBLISH, error))
            stop.wait(parts.settings.fresh_every_seconds)
    return None


class Refresher:
    """The lanes of the live generation, and of the one that is about to be.

    The first lane is what answers are made of. Where `CURRENT` names another
    generation, a second one is brought up to date beside it, and replaces it once it
    covers all that the first one claims.

    Args:
        parts: what it works with.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._folder = OverlayFolder.of(parts.artifacts.root)
        self._gone = GoneList(self._folder.gone_path)
        self._opener = GenerationOpener(parts)
        self._teller = Teller(parts)
        self._wishes = Wishes(parts)
        self._lanes: tuple[Lane, ...] = ()
        self._gapped: frozenset[str] = frozenset()
        self._unpublished: Trouble | None = None

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """The lane that is published, and the one that will follow it, if any."""
        return self._lanes

    def close(self) -> None:
        """End what runs beside, and give the feeds back."""
        self._opener.close()
        self._keep()

    def step(self) -> bool:
        """Look once at everything; return whether there is more to do at once.

        Raises:
            SegmentRefused: another refresher has taken over.
        """
        trouble = self._follow_current()
        is_published = False
        for lane in self._lanes:
            found, is_published = self._advance(lane, at_once=is_published)
            trouble = found or trouble
        self._hand_over()
        self._wishes.consider(self._lanes)
        self._teller.tell(self._lanes, trouble or self._unpublished)
        now = self._parts.monotonic()
        return any(lane.waiting and lane.is_due(now) for lane in self._lanes)

    def _follow_current(self) -> Trouble | None:
        """See which generation is live, and begin its lane."""
        try:
            current = self._parts.artifacts.current_id()
        except (ArtifactError, OSError) as error:
            return self._teller.failed(Behind.GENERATION, error)
        if current is None:
            return Trouble(Behind.NO_GENERATION, "no generation is live yet: see the tuner")
        ids = [lane.generation_id for lane in self._lanes]
        if current in ids:
            # The second one is not wanted any more where the first one is live again.
            self._keep(*self._lanes[: ids.index(current) + 1])
            return None
        try:
            opened = self._opener.open(current)
            if opened is None:
                waits = Trouble(Behind.REPLAY, f"generation {current} is being opened")
                return self._opener.trouble or (None if ids else waits)
            lane = Lane(self._parts, opened.generation, opened.vectors, self._gone)
        except Exception as error:  # noqa: BLE001  # whatever is wrong with it, the old one stays
            return self._opener.failed(current, self._teller.failed(Behind.GENERATION, error))
        self._keep(*self._lanes[:1])
        self._lanes = (*self._lanes, lane)
        try:
            self._gone.relist(opened.generation)
        except OSError as error:
            logger.warning("gone_list_not_written error=%s", error)
        logger.info("lane_begun generation=%s beside=%s", current, ids)
        return None

    def _advance(self, lane: Lane, *, at_once: bool) -> tuple[Trouble | None, bool]:
        """Read, recompute and publish, each where it is due.

        Args:
            lane: of a generation.
            at_once: whether the lane before it has just published.

        Returns:
            What is in the way, and whether anything was published.
        """
        trouble = self._look(lane)
        if lane.progress.is_rewound:
            self._lose(lane)
            return Trouble(Behind.REPLAY, "a shard went back to a checkpoint"), False
        try:
            is_published = False
            if lane.goes_ahead:
                lane.go_ahead()
                is_published = self._publish(lane, trouble)
            if not (at_once or lane.is_due(self._parts.monotonic())):
                return trouble, is_published
            lane.round(self._parts.asked(), pause=partial(self._go_between, lane))
            return trouble, self._publish(lane, trouble)
        except Exception as error:  # a lane is made again from its generation and the feed
            if isinstance(error, SegmentRefused) and error.fault == SegmentFault.WRITER:
                raise
            self._lose(lane)
            self._wishes.lost(lane.generation_id)
            failed = self._teller.failed(Behind.FAILED, error)
            return self._opener.failed(lane.generation_id, failed), False

    def _look(self, lane: Lane) -> Trouble | None:
        """Read what is new; return what is in the way."""
        try:
            lane.look()
        except Exception as error:  # noqa: BLE001  # whatever is wrong with the feed, what was read is published
            return self._teller.failed(Behind.FEED, error)
        return None

    def _go_between(self, lane: Lane, *, is_open: bool) -> None:
        """Look for what is urgent in the midst of a round, and publish it by itself."""
        trouble = self._look(lane)
        if lane.go_between(is_open=is_open):
            self._publish(lane, trouble)

    def _publish(self, lane: Lane, trouble: Trouble | None) -> bool:
        trouble = trouble or trouble_of(lane, self._parts.settings, self._parts.clock_ms())
        try:
            is_published = lane.publish("" if trouble is None else trouble.detail)
        except OSError as error:
            self._unpublished = self._teller.failed(Behind.PUBLISH, error)
            return False
        if is_published:
            self._unpublished = None
            self._opener.succeeded(lane.generation_id)
        return is_published

    def _hand_over(self) -> None:
        """Let the second lane replace the first one, once it has all of it.

        One with a gap never has. The generation after it usually has none; where that
        has one, too, the first lane is given up: a server takes a generation that
        claims more by itself than an overlay that is not renewed.
        """
        if len(self._lanes) < 2:  # noqa: PLR2004  # the one and the next
            return
        old, new = self._lanes
        if new.is_gapped:
            self._gapped |= {new.generation_id}
        elif new.progress.is_begun:
            self._gapped = frozenset()
        if len(self._gapped) < _MOST_GAPPED and not _replaces(new, old):
            return
        self._keep(new)
        self._clear_up()
        logger.info("lane_handed_over generation=%s from=%s", new.generation_id, old.generation_id)

    def _clear_up(self) -> None:
        """Remove overlays of generations that are gone, and of the list of gone items
        what no generation that is kept would show.
        """
        artifacts = self._parts.artifacts
        try:
            kept = artifacts.generation_ids()
            for generation_id in set(self._folder.generation_ids()) - set(kept):
                rmtree(self._folder.generation_path(generation_id), ignore_errors=True)
            if kept:
                taken_ms = artifacts.manifest(kept[0]).snapshot.taken_ms
                self._gone.forget(taken_ms - _CLOCKS_APART_MS)
        except (ModelError, OSError) as error:
            logger.warning("overlays_not_cleared error=%s", error)

    def _keep(self, *lanes: Lane) -> None:
        for lane in self._lanes:
            if lane not in lanes:
                lane.close()
        self._lanes = lanes

    def _lose(self, lane: Lane) -> None:
        """Give a lane up; it is made again from its generation and the feed, and its
        overlay stays as it is until then.
        """
        logger.warning("lane_lost generation=%s", lane.generation_id)
        self._keep(*(each for each in self._lanes if each is not lane))


def _replaces(new: Lane, old: Lane) -> bool:
    if new.published is None or new.is_gapped:
        return False
    return old.published is None or covers(new.published, old.published)
