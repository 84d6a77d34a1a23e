"""The periodic loop: take a snapshot, refresh the live generation with it.

While a generation is pinned, it goes on from what it has published since, and none of
that goes live.

A refresher that wants a generation early (`model.artifact.overlay.wanted`) shortens the
wait.
"""

import logging
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING

from model.artifact.generation import Generation, open_generation
from model.artifact.overlay import wanted
from model.artifact.provenance import CATALOG_KEY, catalog_hash, model_settings
from model.artifact.store import ArtifactStore, Pin
from model.errors import ArtifactError, ModelError, RankLost, TrainingCancelled
from model.live_quality.watch import watch_live_quality
from model.metrics import TunerMetrics
from model.publishing.drift import FIRST_PAGE_OVERLAP, ITEM_COSINE_MEAN, ITEM_COSINE_WORST
from model.publishing.gate import OWN_TITLE_RECALL
from model.publishing.refresh import SnapshotInput, train_and_publish
from model.publishing.turn import training_turn
from model.settings import ModelSettings
from model.training.result import TrainingProgress
from protos import manifest_v1_pb2 as manifest_pb
from stream.errors import StreamError

if TYPE_CHECKING:
    from model.training.ranks.group import RankGroup

logger = logging.getLogger(__name__)

# Seconds until the second look for something to learn from while no generation is live;
# each further pause is twice as long. A look at an empty store takes milliseconds.
# Twice as long: the first answers come up to that much later.
_FIRST_PAUSE_SECONDS = 2.0

# The longest of those pauses, where what failed before it took no longer: events may
# come at any time, and the first answers so much later. Twice as long: that, twice.
_LONGEST_FIRST_PAUSE_SECONDS = 15.0

# Seconds after which a run is tried again that failed after one that had not: whether
# it failed by chance is known then, and not a period later. A fault costs one training
# more. Twice as long: FreshetTunerFailing comes a minute later.
_RETRY_SECONDS = 60.0

# Seconds between two looks for a refresher that wants a generation early. A look is one
# system call; a training takes seconds to minutes. Twice as long: begun a second later.
_LOOK_SECONDS = 1.0

# Seconds between two lines about the passes of a training: ten in the default budget
# of five minutes. Twice as many: a training that stands still is seen a minute later.
_LOG_EVERY_SECONDS = 30.0

_NOT_THE_MODELS = frozenset(
    {
        "budget_seconds",
        "checkpoint_every_seconds",
        "tune_every_seconds",
        "evaluated_queries",
        "keep_generations",
        "num_threads",
        "device",
        CATALOG_KEY,
    }
)


@dataclass(frozen=True, kw_only=True)
class TunerEvent:
    """What the tuner just did.

    Attributes:
        kind: ``training``, ``published``, ``pinned`` (published, but another generation
            is pinned), ``unchanged`` or ``failed``.
        generation_id: the generation that is live now; empty: none is.
        detail: for ``failed`` the message.
        seconds: since the run began.
    """

    kind: str
    generation_id: str
    detail: str
    seconds: float


# Takes a snapshot, yields what training needs of it, and removes it afterwards.
Snapshots = Callable[[], AbstractContextManager[SnapshotInput]]


def run_tuner(
    snapshots: Snapshots,
    store: ArtifactStore,
    settings: ModelSettings,
    metrics: TunerMetrics,
    stop: Event,
    on_event: Callable[[TunerEvent], None] = lambda _: None,
    ranks: "RankGroup | None" = None,
) -> None:
    """Tune every `tune_every_seconds` until `stop` is set, which also ends a training
    between two steps.

    A run that finds nothing new publishes nothing and counts as a success: what is live
    is up to date. A run that fails is logged and counted by the class of its error, and
    the next period tries again; the first failure of several is tried again after a
    minute. While no generation is live it looks again every few seconds, or, where a
    try took longer, after as long again.

    Another training for the same folder, such as one of `freshet train`, is waited for.

    On the first of several ranks it has the others train with it; where one of them is
    lost, it ends.

    Raises:
        RankLost: another rank is gone, or this one cannot go on.
    """
    metrics.started(settings.tune_every_seconds)
    opener = _Opener(store)
    first_pause, is_failing = _FIRST_PAUSE_SECONDS, False
    while not stop.is_set():
        began, was_failing = time.monotonic(), is_failing
        _tell_pin(store, metrics)
        is_failing = not _run_once(snapshots, opener, settings, metrics, stop, on_event, ranks)
        if _live_id(store):
            pause = settings.tune_every_seconds - (time.monotonic() - began)
            if is_failing and not was_failing:
                pause = min(pause, _RETRY_SECONDS)
        else:
            longest = max(_LONGEST_FIRST_PAUSE_SECONDS, time.monotonic() - began)
            pause = min(first_pause, longest, settings.tune_every_seconds)
            first_pause *= 2
        _wait(max(0.0, pause), store, metrics, stop, ranks)


def _wait(
    seconds: float,
    store: ArtifactStore,
    metrics: TunerMetrics,
    stop: Event,
    ranks: "RankGroup | None",
) -> None:
    """Wait for the next run, less where a generation is wanted early.

    The wish is then counted and withdrawn: the run that follows fulfils it. One that
    cannot be withdrawn would be fulfilled without end, and shortens nothing.
    """
    left, is_stuck = seconds, False
    while not stop.is_set() and left > 0:
        if ranks is not None:
            _call_to_wait(ranks)
        pin = _tell_pin(store, metrics)
        # What is published while one is pinned fulfils no wish.
        early = wanted.asked(store.root) if pin is None and not is_stuck else None
        if early is not None and _is_withdrawn(store):
            logger.info("tuning early reason=%s detail=%s", early.reason, early.detail)
            metrics.wanted_early(early.reason)
            return
        # A wish that stays is not looked at again before the next run.
        is_stuck = is_stuck or early is not None
        look = min(left, _LOOK_SECONDS)
        stop.wait(look)
        left -= look


def _call_to_wait(ranks: "RankGroup") -> None:
    from model.training.ranks.orders import call_to_wait  # noqa: PLC0415  # it needs torch

    call_to_wait(ranks)


def _tell_pin(store: ArtifactStore, metrics: TunerMetrics) -> Pin | None:
    """Return the pin, and have the metrics tell of it."""
    pin = store.pin()
    metrics.pinned(None if pin is None else pin.generation_id, 0 if pin is None else pin.since_ms)
    return pin


def _is_withdrawn(store: ArtifactStore) -> bool:
    try:
        wanted.withdraw(store.root)
    except OSError as error:
        logger.warning("tuning not early: the wish cannot be withdrawn error=%s", error)
        return False
    return True


class _Opener:
    """Opens the generation that a training goes on from.

    What this process wrote or verified before, it does not verify again.
    """

    def __init__(self, store: ArtifactStore) -> None:
        self.store = store
        self._verified = ""

    def open_parent(self) -> Generation | None:
        """Return the parent of the next training: the live generation, or the newest
        that passed the gate since another one was pinned.

        None where there is none, or where it cannot be read: then training starts from
        scratch.
        """
        try:
            wanted_id = _published_since_pin(self.store) or self.store.current_id()
            if not wanted_id:
                return None
            path = self.store.generation_path(wanted_id)
            parent = open_generation(path, verify=wanted_id != self._verified)
        except ArtifactError as error:
            logger.warning("live generation cannot be read; training from scratch error=%s", error)
            return None
        self._verified = wanted_id
        return parent

    def wrote(self, generation_id: str) -> None:
        """Take a generation for verified that was just published."""
        self._verified = generation_id


def _published_since_pin(store: ArtifactStore) -> str:
    """Return the newest generation that passed the gate since one was pinned; empty:
    there is none, or nothing is pinned.
    """
    pin = store.pin()
    if pin is None:
        return ""
    for generation_id in reversed(store.generation_ids()):
        try:
            manifest = store.manifest(generation_id)
        except ArtifactError:
            continue
        if manifest.created_ms <= pin.since_ms:
            break
        if manifest.gate.passed:
            return generation_id
    return ""


def _run_once(
    snapshots: Snapshots,
    opener: _Opener,
    settings: ModelSettings,
    metrics: TunerMetrics,
    stop: Event,
    on_event: Callable[[TunerEvent], None],
    ranks: "RankGroup | None",
) -> bool:
    """Run, and tell how it ended; return False where it failed."""
    began = time.monotonic()

    def seconds() -> float:
        return time.monotonic() - began

    def notify(kind: str, generation_id: str, detail: str = "") -> None:
        on_event(
            TunerEvent(kind=kind, generation_id=generation_id, detail=detail, seconds=seconds())
        )

    metrics.run_began(time.time())
    try:
        outcome, generation_id = _tune(snapshots, opener, settings, metrics, stop, notify, ranks)
    except TrainingCancelled:
        logger.info("tuning stopped seconds=%.1f", seconds())
    except (ModelError, StreamError, OSError) as error:
        reason = type(error).__name__
        logger.error("tuning failed reason=%s error=%s", reason, error)  # noqa: TRY400  # the message has the reason
        metrics.failed(
            reason=reason, now_seconds=time.time(), run_seconds=seconds(), detail=str(error)
        )
        notify("failed", _live_id(opener.store), str(error))
        if isinstance(error, RankLost):
            raise
        return False
    else:
        logger.info(
            "tuning done outcome=%s generation=%s seconds=%.1f", outcome, generation_id, seconds()
        )
        metrics.succeeded(
            outcome=outcome,
            generation_id=generation_id,
            now_seconds=time.time(),
            run_seconds=seconds(),
        )
        live_id = _live_id(opener.store)
        _tell_figures(opener.store, live_id, metrics)
        notify(outcome, live_id)
    finally:
        metrics.run_ended()
    return True


def _tune(
    snapshots: Snapshots,
    opener: _Opener,
    settings: ModelSettings,
    metrics: TunerMetrics,
    stop: Event,
    notify: Callable[[str, str], None],
    ranks: "RankGroup | None",
) -> tuple[str, str]:
    """Return the outcome, and the generation that it brought or confirmed."""
    opener.store.check_writable()  # before a training, whose result would be lost

    def waits() -> bool:
        if ranks is not None:
            _call_to_wait(ranks)
        return not stop.wait(_LOOK_SECONDS)

    with training_turn(opener.store.root, waits), snapshots() as source:
        arrays = source.arrays
        metrics.saw_items(int((arrays.item_available & ~arrays.item_deleted).sum()))
        parent = opener.open_parent()
        watch_live_quality(opener.store, parent, arrays, settings.evaluated_queries, metrics)
        if parent is not None and _same(parent.manifest, source, settings):
            return "unchanged", parent.id
        notify("training", _live_id(opener.store))
        _log_begin(source, parent, settings)
        generation_id = train_and_publish(
            source,
            opener.store,
            settings,
            warm=parent,
            on_progress=_log_of_passes(),
            is_cancelled=stop.is_set,
            ranks=ranks,
        )
        opener.wrote(generation_id)
    is_live = _live_id(opener.store) == generation_id
    return ("published" if is_live else "pinned"), generation_id


def _log_begin(source: SnapshotInput, parent: Generation | None, settings: ModelSettings) -> None:
    logger.info(
        "training begun queries=%d items=%d budget=%.0fs parent=%s",
        source.arrays.num_queries,
        source.arrays.num_items,
        settings.budget_seconds,
        "none" if parent is None else parent.id,
    )


def _log_of_passes() -> Callable[[TrainingProgress], None]:
    """Return what logs the first pass, and from then on one every so often."""
    logged = -math.inf

    def log(progress: TrainingProgress) -> None:
        nonlocal logged
        now = time.monotonic()
        if now - logged < _LOG_EVERY_SECONDS:
            return
        logged = now
        logger.info(
            "training passes=%d of=%d loss=%.4f%s seconds=%.0f",
            progress.passes,
            progress.max_passes,
            progress.loss,
            "" if progress.mrr is None else f" best_mrr={progress.mrr:.3f}",
            progress.seconds,
        )

    return log


def _same(manifest: manifest_pb.Generation, source: SnapshotInput, settings: ModelSettings) -> bool:
    """Whether a generation was made from the same facts and catalogue with the same
    model.
    """
    if manifest.snapshot.graph_hash != source.snapshot.graph_hash:
        return False
    wanted = {
        name: value
        for name, value in model_settings(settings).items()
        if name not in _NOT_THE_MODELS
    }
    if any(manifest.model.get(name) != value for name, value in wanted.items()):
        return False
    return manifest.model.get(CATALOG_KEY) == catalog_hash(source.arrays)


def _tell_figures(store: ArtifactStore, generation_id: str, metrics: TunerMetrics) -> None:
    """Have the metrics tell what the gate has found of the live generation."""
    try:
        found = dict(store.manifest(generation_id).evaluation)
    except ArtifactError:
        found = {}
    metrics.judged(generation_id, found.get(OWN_TITLE_RECALL))
    cosines = {"mean": ITEM_COSINE_MEAN, "worst": ITEM_COSINE_WORST}
    metrics.drifted(
        found.get(FIRST_PAGE_OVERLAP),
        {statistic: found[name] for statistic, name in cosines.items() if name in found},
    )


def _live_id(store: ArtifactStore) -> str:
    try:
        return store.current_id() or ""
    except (ArtifactError, OSError):
        return ""
