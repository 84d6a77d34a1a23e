"""Holds the one reference that answers are made from, and keeps its overlay fresh.

A newer generation takes over when it, with its overlay, has all that the live view has;
a segment that is not fit changes nothing.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Event, RLock, Thread

from model.artifact.overlay.folder import OverlayFolder
from model.artifact.overlay.pointer import Newest
from server.live import LiveGeneration
from server.metrics.answering import ServerMetrics
from server.metrics.overlay import OverlayMetrics
from server.overlay.coverage import carried, covers
from server.overlay.loading import GoneFile, Loaded, load_segments
from server.overlay.refusals import Refusals
from server.overlay.view import LiveView
from server.settings import ServerSettings
from server.swaps.retired import RetiredGenerations
from server.swaps.start import fresher_than
from stream.clock import now_ms

logger = logging.getLogger(__name__)

_GONE = "GONE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What does not go live yet, because the live view is fresher.

    Attributes:
        generation_id: its generation; the live one's where a refresher began anew.
        since: since when, on the monotonic clock.
    """

    generation_id: str
    since: float


class LiveViews:
    """Holds the live view.

    `offer` comes from the thread that loads generations, `poll` from one of its own;
    any number of threads read `live`. A reader takes it once and works with that.

    Args:
        folder: the overlays.
        settings: the server's settings.
        metrics: where swaps are counted.
        overlay_metrics: where segments are.
        on_live: called each time a generation has gone live.
        clock_ms: the time now, UTC epoch milliseconds.
        monotonic: seconds on a clock that never goes back.
    """

    def __init__(
        self,
        folder: OverlayFolder,
        settings: ServerSettings,
        metrics: ServerMetrics,
        overlay_metrics: OverlayMetrics,
        *,
        on_live: Callable[[], None] = lambda: None,
        clock_ms: Callable[[], int] = now_ms,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._metrics = metrics
        self._overlay_metrics = overlay_metrics
        self._on_live = on_live
        self.on_view: Callable[[int], object] | None = None
        """Is told the broker time up to which the live view has everything, after each
        poll.
        """
        self._clock_ms = clock_ms
        self._monotonic = monotonic
        self._gone = GoneFile(folder.gone_path)
        self._refusals = Refusals(overlay_metrics.refused, monotonic)
        self._lock = RLock()
        self._stop = Event()
        self._live: LiveView | None = None
        self._pending: LiveView | None = None
        self._waiting: Waiting | None = None
        self._retired = RetiredGenerations()
        self._thread: Thread | None = None

    @property
    def live(self) -> LiveView | None:
        """The view to answer from; None: no generation is live yet."""
        return self._live

    @property
    def pending_id(self) -> str:
        """The generation that is loaded and waits to go live; empty: none does."""
        pending = self._pending
        return "" if pending is None else pending.generation_id

    @property
    def last_refusal(self) -> str:
        """Why the newest segments were not taken; empty: they were."""
        return self._refusals.message

    def offer(self, new: LiveGeneration) -> None:
        """Make a generation live with its overlay, or let it wait until it has all that
        the live view has.

        At once where nothing is live, or no overlay; and where somebody goes back to an
        older generation.
        """
        with self._lock:
            view = self._advanced(LiveView.bare(new, self._read_gone()))
            old = self._live
            if old is None:
                self._swap(view)
            elif new.generation.id < old.generation_id:
                logger.warning("going_back from=%s to=%s", old.generation_id, new.generation.id)
                self._swap(self._with_gone_of(view, old))
            else:
                self._swap_if_covering(view, old)

    def fresher_than(self, wanted: str, ids: Sequence[str]) -> str:
        """Return the generation to start with instead of the wanted one; empty: none.

        The one before it, while its overlay is written and claims more.

        Args:
            wanted: what `CURRENT` names.
            ids: the generations that are there, oldest first.
        """
        return fresher_than(
            self._folder,
            wanted,
            ids,
            wait_seconds=self._settings.overlay_wait_seconds,
            now_ms=self._clock_ms(),
        )

    def withdraw(self) -> None:
        """Give up what waits to go live: the live generation is the wanted one."""
        with self._lock:
            self._pending = None

    def poll(self) -> None:
        """Look at the pointers once, and take what is new; give back the memory of
        generations that nobody reads any more.
        """
        self._retired.let_go()
        with self._lock:
            live = self._live
            if live is None:
                return
            gone = self._read_gone()
            live, is_behind = self._advance_live(_with_gone_list(live, gone))
            self._live = live
            pending = self._pending
            if pending is not None:
                self._swap_if_covering(self._advanced(_with_gone_list(pending, gone)), live)
            if not is_behind and self._pending is None:
                self._waiting = None
            if self.on_view is not None:
                self.on_view(self._live.claim.reflected_ms)

    def start(self) -> None:
        """Begin to poll, in a thread of its own."""
        self._thread = Thread(target=self._run, name="overlay-watcher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End polling; a poll that runs gets `grace_seconds` to finish."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(self._settings.grace_seconds)

    def _run(self) -> None:
        while not self._stop.wait(self._settings.overlay_every_seconds):
            try:
                self.poll()
            except Exception as error:  # noqa: BLE001  # whatever is wrong with an overlay, answers go on
                self._refusals.refuse("poll", error)
            else:
                self._refusals.clear("poll")

    def _advance_live(self, live: LiveView) -> tuple[LiveView, bool]:
        """Return the live view with what is new of its overlay, never less than it has,
        and whether there is something that has less.

        A refresher that began anew may have less so far: its segments wait. Those of
        one writer only add to each other, also where a full one replaces deltas.
        """
        newest = self._newest(live)
        if newest is None:
            return live, False
        begins_anew = live.overlay.is_loaded and newest.writer != live.overlay.writer
        is_behind = begins_anew and not covers(newest.claim, live.claim)
        if is_behind and not self._has_waited(live.generation_id):
            return live, True
        loaded = self._loaded(live, newest)
        if loaded.view is live:
            return live, False
        if newest.writer == live.overlay.writer:
            self._overlay_metrics.served(loaded.taken, self._clock_ms())
        if is_behind:
            self._went_back(newest.claim.reflected_ms, live)
            return self._with_gone_of(loaded.view, live), False
        return replace(loaded.view, claim=carried(loaded.view.claim, live.claim)), False

    def _advanced(self, view: LiveView) -> LiveView:
        """Return a view that is not live with what is new of its overlay."""
        newest = self._newest(view)
        return view if newest is None else self._loaded(view, newest).view

    def _newest(self, view: LiveView) -> Newest | None:
        """Return the pointer of a view's overlay where it says something new, and is
        worth following.
        """
        source = view.generation_id
        try:
            newest = self._folder.newest(source)
        except Exception as error:  # noqa: BLE001  # whatever it is, the overlay stays as it is
            if self._refusals.is_worth_trying(source):
                self._refusals.refuse(source, error)
            return None
        if newest is None or newest == view.newest:
            self._refusals.clear(source)
            return None
        return newest if self._refusals.is_worth_trying(source, newest) else None

    def _loaded(self, view: LiveView, newest: Newest) -> Loaded:
        try:
            loaded = load_segments(self._folder, newest, view)
        except Exception as error:  # noqa: BLE001  # an overlay may hold up no generation
            loaded = Loaded(view=view, refusal=error)
        if loaded.refusal is None:
            self._refusals.clear(view.generation_id)
        else:
            self._refusals.refuse(view.generation_id, loaded.refusal, newest)
        return loaded

    def _read_gone(self) -> Mapping[str, int]:
        """Return the list of gone items, or what is known of it."""
        if not self._refusals.is_worth_trying(_GONE):
            return self._gone.gone
        try:
            gone = self._gone.read()
        except Exception as error:  # noqa: BLE001  # what is known to be gone stays so
            self._refusals.refuse(_GONE, error)
            return self._gone.gone
        self._refusals.clear(_GONE)
        return gone

    def _swap_if_covering(self, view: LiveView, old: LiveView) -> None:
        """Make a newer generation live if nothing is lost by it, or it has waited for
        too long.
        """
        has_nothing = not old.overlay.is_loaded and not old.claim.reflected_ms
        if has_nothing or covers(view.claim, old.claim):
            known = view.overlay.items
            gone = {id_: at for id_, at in old.carried_gone.items() if id_ not in known}
            view = view.with_gone(view.gone, gone)
            self._swap(replace(view, claim=carried(view.claim, old.claim)))
        elif self._has_waited(view.generation_id):
            self._went_back(view.claim.reflected_ms, old)
            self._swap(self._with_gone_of(view, old))
        else:
            self._pending = view

    def _has_waited(self, generation_id: str) -> bool:
        """Whether something has waited to go live for longer than it may.

        Newer generations that come meanwhile do not begin the wait anew.
        """
        waiting, now = self._waiting, self._monotonic()
        if waiting is None:
            logger.info("waiting_for_overlay generation=%s", generation_id)
            waiting = self._waiting = Waiting(generation_id=generation_id, since=now)
        return now - waiting.since >= self._settings.overlay_wait_seconds

    def _went_back(self, reflected_ms: int, old: LiveView) -> None:
        self._overlay_metrics.went_back()
        logger.warning(
            "less_fresh_view_live reflected_ms=%d before=%d; it waited for longer than "
            "server.overlay_wait_seconds",
            reflected_ms,
            old.claim.reflected_ms,
        )

    def _with_gone_of(self, view: LiveView, old: LiveView) -> LiveView:
        """Return a view that may know less than the one before it, without what is
        gone in that one.
        """
        return view.with_gone(view.gone, old.all_gone(self._clock_ms()))

    def _swap(self, view: LiveView) -> None:
        now, old = self._clock_ms(), self._live
        view = replace(view, live_since_ms=now)
        self._live, self._pending, self._waiting = view, None, None
        if old is not None and old.live is not view.live:
            self._retired.add(old.live)
        self._refusals.keep_only(_GONE, view.generation_id)
        old_id = None if old is None else old.generation_id
        self._metrics.swapped(old_id, view.generation_id, now)
        self._on_live()
        logger.info(
            "generation_live generation=%s before=%s overlay=%d",
            view.generation_id,
            old_id,
            view.overlay.sequence,
        )


def _with_gone_list(view: LiveView, gone: Mapping[str, int]) -> LiveView:
    return view if gone is view.gone else view.with_gone(gone, view.carried_gone)
