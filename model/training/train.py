"""Training, from the arrays of a snapshot to those of a generation: select, split, fit,
export.

Nothing imports this module when it is itself imported: torch takes seconds to load.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from model.artifact.generation import Generation
from model.data.batches import (
    num_batches,
    pass_edges,
    shuffled_batches,
)
from model.data.trainable import select_trainable
from model.data.training_set import TrainingSet, build_training_set
from model.errors import RankLost, TrainingFailed, TrainingRefused
from model.settings import ModelSettings
from model.training.beside.item_prior import with_item_prior
from model.training.beside.pretrained_text import with_pretrained_text
from model.training.beside.session_walk import with_session_walk
from model.training.beside.title_words import with_title_words
from model.training.layer_states import LayerKeeper
from model.training.limits.budget import Budget
from model.training.passes.channel_shares import choose_channel_shares
from model.training.passes.early_stopping import (
    better_pass,
    popularity_quality,
    restore_best,
)
from model.training.passes.newest_passes import learn_newest
from model.training.passes.run import Run
from model.training.ranks.ranks import ONE_RANK, Ranks
from model.training.result import HoldoutEdges, TrainedModel, TrainingProgress
from model.training.saved_state import SavedTraining
from model.training.start import (
    begin_run,
    learned_by_parent,
    make_learner,
    resume_run,
    save_run,
)
from model.training.step import Learner, supervise
from model.training.warm_start import (
    WarmStart,
    export_encoder,
    export_warm_start,
    open_warm_start,
)
from stream.dtypes import Float32s
from stream.graph.arrays import GraphArrays

logger = logging.getLogger(__name__)

# Most passes where nothing is held out to stop them by, in a shop of a few dozen edges.
# Chosen by hand; not tuned. Twice as many memorise those few.
_PASSES_WITHOUT_VALIDATION = 6
# Share of `model.learning_rate` that is left at the last pass; it falls exponentially.
# Chosen by hand; not tuned. Twice as much leaves the last passes less steady, which the
# running average of the weights evens out.
_FINAL_RATE = 0.1


def train(
    arrays: GraphArrays,
    settings: ModelSettings,
    *,
    warm: Generation | None = None,
    on_progress: Callable[[TrainingProgress], None] | None = None,
    is_cancelled: Callable[[], bool] | None = None,
    saved: SavedTraining | None = None,
) -> TrainedModel:
    """Train on a snapshot's graph and export the vectors of all its nodes.

    Args:
        arrays: the merged graph.
        settings: network, optimisation and time budget.
        warm: a generation to start from; one that does not fit the settings is ignored
            with a warning.
        on_progress: called after every pass.
        is_cancelled: called before every step; True ends training.
        saved: where this very training saves its state after its passes, and resumes
            from if it was killed; the model is the same as if it never was.

    Raises:
        TrainingRefused: there is nothing to learn from, it does not fit, or the device
            is not there.
        TrainingFailed: the loss became NaN, memory ran out, or the budget did not allow
            a single step.
        TrainingCancelled: `is_cancelled` returned True.
        PretrainedTextUnusable: the text encoder that the settings name is not
            installed.
    """
    trained = train_on(
        ONE_RANK,
        arrays,
        settings,
        warm=warm,
        on_progress=on_progress,
        is_cancelled=is_cancelled,
        saved=saved,
    )
    if trained is None:
        raise AssertionError("one rank is the first")
    return trained


def train_on(
    ranks: Ranks,
    arrays: GraphArrays,
    settings: ModelSettings,
    *,
    warm: Generation | None = None,
    on_progress: Callable[[TrainingProgress], None] | None = None,
    is_cancelled: Callable[[], bool] | None = None,
    saved: SavedTraining | None = None,
) -> TrainedModel | None:
    """Train as `train` does, on several ranks: on each of them with the same arrays and
    settings.

    The model is that of one rank, up to rounding, and up to which neighbours are drawn.

    Args:
        ranks: that train together.
        arrays: as in `train`.
        settings: as in `train`.
        warm: as in `train`, on the first rank.
        on_progress: as in `train`, on every rank.
        is_cancelled: as in `train`: on one rank is for all.
        saved: as in `train`, on the first rank.

    Returns:
        The model; None on ranks other than the first.

    Raises:
        ModelError: as `train` does.
        RankFailed: on other ranks: the first one raised an error.
        RankLost: another rank is gone, or this one cannot go on.
    """
    began = time.monotonic()
    is_cancelled = is_cancelled or (lambda: False)
    torch.set_num_threads(settings.num_threads or _spare_cores(ranks.per_machine))
    device = ranks.device if ranks.size > 1 else _pick_device(settings.device)
    source = select_trainable(arrays)
    warm_start = ranks.first(
        lambda: open_warm_start(warm, source.arrays, settings) if warm is not None else None
    )
    learned = learned_by_parent(warm_start, ranks)
    data = build_training_set(source.arrays, settings, learned)
    num_queries = 0 if source.titles_as_queries else data.whole.num_queries
    budget = Budget.of(settings, data.train.num_items, began)
    is_warm = learned is not None
    passes = _max_passes(data, settings, is_warm=is_warm)
    with _torch_errors_named(ranks):
        learner = make_learner(data, settings, device, warm_start, ranks)
        run = resume_run(learner, budget, saved) or begin_run(
            learner, budget, is_cancelled, is_warm=is_warm
        )
        run = fit(
            learner, run, passes, is_cancelled=is_cancelled, on_progress=on_progress, saved=saved
        )
        # Judged before the newest facts are learned: the gate and the figures are to be
        # about a model that did not see the edges it is judged by.
        with learner.gathered():
            judged = ranks.first(partial(_judged, learner, run, num_queries))
        ranks.copy_first(learner.network.buffers())
        learner.learn_from(data.whole)
        learn_newest(learner, run, is_cancelled, is_warm=is_warm)
        with learner.gathered():
            trained = ranks.first(partial(_export, learner, num_queries, judged, warm_start))
    if trained is None:
        return None
    parent = warm_start.generation if warm_start is not None else None
    trained = with_pretrained_text(trained, source.arrays, settings, parent)
    trained = with_title_words(
        trained,
        source.arrays,
        settings,
        parent,
        asks_in_titles=data.asks_in_words_of_titles,
    )
    trained = with_session_walk(trained, source.arrays, settings, parent)
    return with_item_prior(trained, source.arrays, settings, parent)


def fit(
    learner: Learner,
    run: Run,
    max_passes: int,
    *,
    is_cancelled: Callable[[], bool],
    on_progress: Callable[[TrainingProgress], None] | None = None,
    saved: SavedTraining | None = None,
) -> Run:
    """Make passes until validation stops getting better, all are done, or the budget is
    used up; leave the learner with the network of the best one.

    Args:
        learner: what is trained.
        run: where it begins.
        max_passes: most passes there may be, those of `run` included.
        is_cancelled: as in `train`.
        on_progress: as in `train`.
        saved: as in `train`.

    Returns:
        Where it ended.

    Raises:
        TrainingFailed: the loss became NaN, or there was no time for a single step.
        TrainingCancelled: `is_cancelled` returned True.
    """
    data, settings = learner.data, learner.settings
    while run.passes < max_passes and not run.best.should_stop(settings.patience):
        learner.set_rate(_FINAL_RATE ** (run.passes / max_passes))
        edges = pass_edges(data.recent, settings.replay_share, run.rng)
        batches = shuffled_batches(edges, num_batches(len(edges), settings.batch_size), run.rng)
        losses = supervise(learner, batches, run.budget.passes_end, is_cancelled, run.steps)
        run = replace(run, steps=run.steps + len(losses))
        if len(losses) < len(batches):
            break
        run = replace(run, passes=run.passes + 1, best=better_pass(run.best, learner))
        save_run(learner, run, saved)
        progress = _progress(run, max_passes, sum(losses) / len(losses))
        logger.debug(
            "pass done pass=%d loss=%.4f best_mrr=%s", run.passes, progress.loss, progress.mrr
        )
        if on_progress:
            on_progress(progress)
    if max_passes:
        run.budget.refuse_no_step(run.steps)
    if run.best.quality is None:
        run = replace(run, best=better_pass(run.best, learner))
    restore_best(run.best, learner)
    return run


def _max_passes(data: TrainingSet, settings: ModelSettings, *, is_warm: bool) -> int:
    """Return how many passes there may be.

    0 where the parent has learned all but the newest facts: they are for the
    closing passes.
    """
    if not data.recent.any():
        return 0
    passes = settings.warm_passes if is_warm else settings.max_passes
    return passes if len(data.validation_query) else min(passes, _PASSES_WITHOUT_VALIDATION)


def _progress(run: Run, max_passes: int, loss: float) -> TrainingProgress:
    return TrainingProgress(
        passes=run.passes,
        max_passes=max_passes,
        loss=loss,
        mrr=run.best.quality.mrr if run.best.quality else None,
        seconds=run.budget.spent(),
    )


def _judged(learner: Learner, run: Run, num_queries: int) -> tuple[HoldoutEdges, dict[str, float]]:
    """Choose the channels' shares; return what the gate judges by, and the figures."""
    shares = choose_channel_shares(learner)
    return _held_out(learner, num_queries), {**_figures(learner, run), **shares}


def _held_out(learner: Learner, num_queries: int) -> HoldoutEdges:
    data = learner.data
    query_vectors, item_vectors, _, _ = learner.vectors(learner.train_graph)
    kept = data.validation_query < num_queries
    return HoldoutEdges(
        query=data.validation_query[kept],
        item=data.validation_item[kept],
        first_ms=data.validation_first_ms[kept],
        query_vectors=query_vectors[:num_queries],
        item_vectors=item_vectors,
        begin_ms=data.unseen_since_ms,
    )


def _figures(learner: Learner, run: Run) -> dict[str, float]:
    figures = {
        "passes": float(run.passes),
        "steps": float(run.steps),
        "train_seconds": run.budget.spent(),
        "temperature": float(learner.network.log_temperature.detach().exp()),
        "validation_edges": float(len(learner.data.validation_query)),
    }
    if run.best.quality is None:
        return figures
    best, popularity = run.best.quality, popularity_quality(learner.data)
    return figures | {
        "validation_mrr": best.mrr,
        "validation_recall_10": best.recall_10,
        "validation_recall_100": best.recall_100,
        "popularity_mrr": popularity.mrr,
        "popularity_recall_10": popularity.recall_10,
    }


def _export(
    learner: Learner,
    num_queries: int,
    judged: tuple[HoldoutEdges, dict[str, float]] | None,
    warm_start: WarmStart | None,
) -> TrainedModel:
    """Propagate over all facts; return everything as arrays."""
    if judged is None:
        raise AssertionError("only the first rank, which judges, exports")
    held_out, figures = judged
    data, settings = learner.data, learner.settings
    keeper = LayerKeeper()
    keeps = settings.fresh_state and num_queries > 0
    query_vectors, item_vectors, query_attention, item_attention = learner.vectors(
        learner.train_graph, keeper.keep if keeps else None
    )
    _refuse_nan(query_vectors, item_vectors)
    warm = export_warm_start(learner.network, data.whole.num_queries)
    return TrainedModel(
        query_vectors=query_vectors[:num_queries],
        item_vectors=item_vectors,
        query_attention=query_attention[:num_queries],
        item_attention=item_attention,
        encoder=export_encoder(learner.network, data.texts, settings.num_buckets),
        warm={**warm, "query_ids": warm["query_ids"][:num_queries]},
        states=keeper.states() if keeps else None,
        held_out=held_out,
        evaluation=figures,
        parent=warm_start.generation.id if warm_start else "",
        settings=settings,
    )


def _refuse_nan(*arrays: Float32s) -> None:
    if not all(np.isfinite(array).all() for array in arrays):
        raise TrainingFailed("the exported vectors are not finite; lower model.learning_rate")


@contextmanager
def _torch_errors_named(ranks: Ranks) -> Iterator[None]:
    """Raise what goes wrong inside torch as `TrainingFailed`.

    On several ranks as `RankLost`: the others do not know of it, and cannot go on.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if ranks.size > 1:
            raise RankLost(
                f"rank {ranks.rank} of {ranks.size} cannot go on ({error}); start all ranks again: "
                "the training resumes from its last saved state"
            ) from error
        raise _named(error) from error


def _named(error: RuntimeError | MemoryError) -> TrainingFailed:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return TrainingFailed(
            f"training ran out of memory; lower model.batch_size or model.dim ({error})"
        )
    # torch reports what goes wrong inside it, a failed allocation on the CPU among it,
    # as a RuntimeError.
    return TrainingFailed(f"training failed inside torch: {error}")


def _spare_cores(sharing: int) -> int:
    """All cores but one, over the ranks that share them: threads that wait for a core
    which the stream holds cost more than they bring.
    """
    return max(1, (len(os.sched_getaffinity(0)) - 1) // sharing)


def _pick_device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingRefused("model.device is cuda, but torch finds no GPU; set it to auto or cpu")
    return torch.device(name)
