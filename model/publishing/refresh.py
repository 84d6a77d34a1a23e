"""From a snapshot to a published generation: train, write, judge, make it current."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from model.artifact.generation import Generation
from model.artifact.store import ArtifactStore
from model.errors import GateRefused
from model.publishing.publish import publish
from model.settings import ModelSettings
from model.training.result import TrainingProgress
from model.training.saved_state import SavedTraining, training_key
from stream.clock import now_ms
from stream.graph.arrays import GraphArrays
from stream.reading.manifest import SnapshotInfo

if TYPE_CHECKING:
    from model.training.ranks.group import RankGroup


@dataclass(frozen=True, kw_only=True)
class SnapshotInput:
    """What one run learns from: a snapshot's arrays and where they came from."""

    snapshot: SnapshotInfo
    arrays: GraphArrays


def train_and_publish(
    source: SnapshotInput,
    store: ArtifactStore,
    settings: ModelSettings,
    *,
    warm: Generation | None = None,
    on_progress: Callable[[TrainingProgress], None] | None = None,
    is_cancelled: Callable[[], bool] | None = None,
    ranks: "RankGroup | None" = None,
) -> str:
    """Train on a snapshot and publish the generation; return its id.

    Where the same training was killed before, it resumes from its last state; see
    `model.training.saved_state`.

    Args:
        source: the snapshot.
        store: where the generation goes.
        settings: of the model.
        warm: as in `model.training.train.train`.
        on_progress: as there.
        is_cancelled: as there.
        ranks: on the first of several ranks: all of them, the others in
            `model.training.ranks.orders.follow`; None: this process trains alone.

    Raises:
        ModelError: as `model.training.train.train` and
            `model.publishing.publish.publish` do.
    """
    # Takes seconds: only who trains pays for it.
    from model.training.ranks.orders import call_to_train  # noqa: PLC0415
    from model.training.ranks.ranks import ONE_RANK  # noqa: PLC0415
    from model.training.train import train_on  # noqa: PLC0415

    key = training_key(source.arrays, settings, warm.id if warm is not None else "")
    saved = SavedTraining(store.root / "training", key, settings.checkpoint_every_seconds)
    if ranks is not None:
        call_to_train(ranks, source.arrays)
    trained = train_on(
        ONE_RANK if ranks is None else ranks,
        source.arrays,
        settings,
        warm=warm,
        on_progress=on_progress,
        is_cancelled=is_cancelled,
        saved=saved,
    )
    if trained is None:
        raise AssertionError("only the first rank publishes")
    try:
        generation_id = publish(
            trained, source.arrays, source.snapshot, store, settings, now_ms(), verified=warm
        )
    except GateRefused:
        # Resuming would give the same generation: the training is over.
        saved.remove()
        raise
    saved.remove()
    return generation_id
