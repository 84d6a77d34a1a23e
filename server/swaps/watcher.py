"""Watches `CURRENT`, and loads a new generation beside the live one.

A generation that fails to load changes nothing.
"""

import logging
import math
import time
from collections.abc import Callable
from shlex import quote
from threading import Event, Thread

from model.artifact.store import ArtifactStore
from model.errors import ArtifactError, ModelError
from server.errors import GenerationShrunk, ServerError
from server.live import LiveGeneration
from server.metrics.answering import ServerMetrics
from server.overlay.view import LiveView
from server.quality.drift import answer_overlap
from server.settings import ServerSettings
from server.swaps.loader import Loader
from server.swaps.refusals import (
    POINTER_NAME,
    Files,
    Refusal,
    RefusalReason,
    files_of,
    log_refusal,
    refusal_of,
)
from server.swaps.start import fallbacks
from server.swaps.watching import Views

logger = logging.getLogger(__name__)


class GenerationWatcher:
    """Loads what `CURRENT` names and offers it to the live views.

    Args:
        store: the artifacts folder.
        views: what a loaded generation is offered to.
        settings: the server's settings.
        metrics: where refusals are counted.
        loader: loads them.
        on_refusal: called with whether the newest generation is refused, each time that
            changes.
        monotonic: seconds on a clock that never goes back.
    """

    def __init__(
        self,
        store: ArtifactStore,
        views: Views,
        settings: ServerSettings,
        metrics: ServerMetrics,
        loader: Loader,
        *,
        on_refusal: Callable[[bool], None] = lambda _is_refused: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._views = views
        self._settings = settings
        self._metrics = metrics
        self._on_refusal = on_refusal
        self._monotonic = monotonic
        self._loader = loader
        self._refusal: Refusal | None = None
        self._loading_id = ""
        self._stop = Event()
        self._thread: Thread | None = None

    @property
    def last_refusal(self) -> str:
        """Why the newest generation failed to load; empty: it did not."""
        refusal = self._refusal
        return "" if refusal is None else refusal.message

    @property
    def refused_id(self) -> str:
        """The generation that `CURRENT` names and that is refused, or ``CURRENT`` where
        that names none; empty: nothing is.
        """
        refusal = self._refusal
        return "" if refusal is None else refusal.generation_id or POINTER_NAME

    @property
    def loading_id(self) -> str:
        """The generation that is being loaded; empty: none is."""
        return self._loading_id

    @property
    def stopped(self) -> bool:
        """Whether the watching thread does not run."""
        return self._thread is None or not self._thread.is_alive()

    def load_first(self) -> bool:
        """Load what `CURRENT` names, before watching, or else the newest generation
        that is fit; return False if there is none, which is waited for.

        A `CURRENT` that cannot be served is refused, as `poll` refuses it.
        """
        try:
            return self._load_wanted()
        except (ModelError, ServerError, OSError, MemoryError) as error:
            return self._loaded_fallback(error)

    def _load_wanted(self) -> bool:
        wanted = self._store.current_id()
        if wanted is not None and self._loaded_fresher(wanted):
            return True
        while wanted is not None:
            try:
                self._take(self._load(wanted))
                return True
            except (ModelError, ServerError, OSError):
                # A tuner may have published another one and pruned this one meanwhile.
                newer = self._store.current_id()
                if newer == wanted:
                    raise
                wanted = newer
        logger.info("waiting_for_first_generation artifacts=%s", self._store.root)
        return False

    def _loaded_fresher(self, wanted: str) -> bool:
        """Load the generation before the wanted one, where its overlay is ahead.

        A server that ran on would still answer from it: the refresher has not caught up
        on the wanted one yet, which is loaded next, and waits for that.
        """
        fresher = self._views.fresher_than(wanted, self._store.generation_ids())
        if not fresher:
            return False
        try:
            self._take(self._load(fresher))
        except (ModelError, ServerError, OSError) as error:
            logger.warning("fresher_generation_refused generation=%s why=%s", fresher, error)
            return False
        return True

    def _loaded_fallback(self, error: Exception) -> bool:
        """Load the best generation that is fit instead of the wanted one; return False
        if there is none. Keep saying that the wanted one is refused.
        """
        try:
            wanted = self._store.current_id()
        except (ArtifactError, OSError):
            wanted = None
        files = () if wanted is None else files_of(self._store.generation_path(wanted))
        for generation_id in fallbacks(wanted, self._passed_ids()):
            try:
                self._take(self._load(generation_id))
            except (ModelError, ServerError, OSError, MemoryError) as refused:
                logger.warning("fallback_refused generation=%s why=%s", generation_id, refused)
                continue
            logger.error("started_from_fallback generation=%s wanted=%s", generation_id, wanted)
            self._refuse(wanted or "", files, error)
            return True
        self._refuse(wanted or "", files, error)
        refusal = self._refusal
        logger.error(
            "waiting_for_fit_generation artifacts=%s next_step=%s",
            self._store.root,
            "mend what generation_refused says of this machine; it is tried again by itself"
            if refusal is not None and refusal.is_of_this_machine
            else f"`freshet train --store STORE --artifacts {quote(str(self._store.root))}` makes "
            "one, which is taken without a restart",
        )
        return False

    def _passed_ids(self) -> list[str]:
        """Return the generations that passed the gate, oldest first."""
        try:
            return [id_ for id_ in self._store.generation_ids() if self._has_passed(id_)]
        except OSError:
            return []

    def _has_passed(self, generation_id: str) -> bool:
        try:
            return self._store.manifest(generation_id).gate.passed
        except (ModelError, OSError):
            return False

    def start(self) -> None:
        """Begin to watch, in a thread of its own."""
        self._thread = Thread(target=self._run, name="generation-watcher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End watching; a running load gets `grace_seconds` to finish, then it is
        abandoned.
        """
        self._stop.set()
        if self._thread is not None:
            self._thread.join(self._settings.grace_seconds)

    def poll(self) -> None:
        """Poll `CURRENT` once, and load the generation it names if that is a new one.

        A generation that fails to load is counted and logged, never raised.
        """
        self._metrics.heard_watcher()
        try:
            wanted = self._store.current_id()
        except (ArtifactError, OSError) as error:
            self._refuse("", (), error)
            return
        live = self._views.live
        if wanted is None:
            if live is not None:
                self._refuse("", (), _pointer_gone(self._store))
            return
        if live is not None and wanted == live.generation_id:
            self._views.withdraw()
            self._set_refusal(None)
            return
        if wanted == self._views.pending_id:
            return
        files = files_of(self._store.generation_path(wanted))
        if self._worth_trying(wanted, files):
            self._try(wanted, files)

    def _run(self) -> None:
        while not self._stop.wait(self._settings.watch_every_seconds):
            self.poll()

    def _worth_trying(self, wanted: str, files: Files) -> bool:
        refusal = self._refusal
        return (
            refusal is None
            or refusal.generation_id != wanted
            or self._monotonic() >= refusal.next_try
            or files != refusal.files
        )

    def _try(self, wanted: str, files: Files) -> None:
        try:
            new = self._load(wanted)
            _check_size(new, self._views.live, self._settings.min_items_share)
            self._take(new)
        except Exception as error:  # noqa: BLE001  # whatever is wrong with the new one, the old one must stay live
            self._refuse(wanted, files, error)

    def _load(self, generation_id: str) -> LiveGeneration:
        self._loading_id = generation_id
        try:
            return self._loader.load(self._store.generation_path(generation_id))
        finally:
            self._loading_id = ""

    def _take(self, new: LiveGeneration) -> None:
        self._set_refusal(None)
        old = self._views.live
        self._views.offer(new)
        if old is not None and old.generation_id != new.generation.id:
            self._compare(old.live, new)

    def _compare(self, old: LiveGeneration, new: LiveGeneration) -> None:
        """Tell how much the answers changed; whatever goes wrong, the swap stands."""
        try:
            overlap = answer_overlap(old, new)
        except Exception as error:  # noqa: BLE001  # a figure is worth no generation
            logger.warning("generations_not_compared error=%s", error)
            overlap = math.nan
        self._metrics.answers.compared(overlap)

    def _refuse(self, generation_id: str, files: Files, error: Exception) -> None:
        """Record a refusal: count each try, but log the same refusal once."""
        before = self._refusal
        refusal = refusal_of(
            generation_id,
            files,
            error,
            before,
            self._monotonic(),
            self._settings.retry_seconds,
        )
        again = before is not None and before.is_same(generation_id, refusal.reason)
        if again and refusal.reason is RefusalReason.POINTER:
            return
        self._set_refusal(refusal)
        self._metrics.refused(refusal.reason)
        if not again:
            log_refusal(refusal, error)

    def _set_refusal(self, refusal: Refusal | None) -> None:
        self._refusal = refusal
        self._metrics.newest_refused(is_refused=refusal is not None)
        self._on_refusal(refusal is not None)


def _pointer_gone(store: ArtifactStore) -> ArtifactError:
    if not store.root.is_dir():
        return ArtifactError(
            f"the artifacts folder {store.root} is gone, and this server answers on from what it "
            "has; mount it again"
        )
    return ArtifactError(
        f"{store.root / POINTER_NAME} is gone, and this server answers on from what it has; "
        "choose a generation with `freshet generations use ID --artifacts "
        f"{quote(str(store.root))}`"
    )


def _check_size(new: LiveGeneration, live: LiveView | None, least_share: float) -> None:
    """Check that a newer generation has not lost most items of the live one.

    Raises:
        GenerationShrunk: it has.
    """
    if live is None or new.generation.id < live.generation_id:
        return
    count = new.generation.manifest.num_indexed
    before = live.live.generation.manifest.num_indexed
    if count < least_share * before:
        raise GenerationShrunk(
            f"generation {new.generation.id} has {count} items to show, the live one {before}; "
            "see what became of the catalogue, or lower server.min_items_share"
        )
