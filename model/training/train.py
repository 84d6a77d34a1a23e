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
from model.errors import TrainingFailed, TrainingRefused
from model.settings import ModelSettings
from model.training.layer_states import LayerKeeper
from model.training.limits.budget import Budget
from model.training.limits.memory_limit import choose_propagation
from model.training.passes.channel_shares import choose_channel_shares
from model.training.passes.early_stopping import (
    BestPass,
    better_pass,
    popularity_quality,
    restore_best,
)
from model.training.passes.newest_passes import learn_newest
from model.training.passes.run import Run
from model.training.pretrained_text import with_pretrained_text
from model.training.result import HoldoutEdges, TrainedModel, TrainingProgress
from model.training.saved_state import SavedTraining, TrainingState
from model.training.step import Learner, supervise
from model.training.warm_start import (
    WarmStart,
    apply_warm_start,
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
    began = time.monotonic()
    is_cancelled = is_cancelled or (lambda: False)
    torch.set_num_threads(settings.num_threads or _spare_cores())
    device = _pick_device(settings.device)
    source = select_trainable(arrays)
    warm_start = open_warm_start(warm, source.arrays, settings) if warm is not None else None
    data = build_training_set(source.arrays, settings, warm_start.learned if warm_start else None)
    num_queries = 0 if source.titles_as_queries else data.whole.num_queries
    budget = Budget.of(settings, data.train.num_items, began)
    passes = _max_passes(data, settings, is_warm=warm_start is not None)
    with _torch_errors_named():
        learner = _make_learner(data, settings, device, warm_start)
        run = _resume(learner, budget, saved) or _begin(learner, budget, warm_start, is_cancelled)
        run = fit(
            learner, run, passes, is_cancelled=is_cancelled, on_progress=on_progress, saved=saved
        )
        # Judged before the newest facts are learned: the gate and the figures are to be
        # about a model that did not see the edges it is judged by.
        shares = choose_channel_shares(learner)
        held_out = _held_out(learner, num_queries)
        figures = {**_figures(learner, run), **shares}
        learner.learn_from(data.whole)
        learn_newest(learner, run, is_cancelled, is_warm=warm_start is not None)
        trained = _export(learner, num_queries, held_out, figures, warm_start)
    parent = warm_start.generation if warm_start is not None else None
    return with_pretrained_text(trained, source.arrays, settings, parent)


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
        if saved:
            saved.save(partial(_state, learner, run))
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


def _make_learner(
    data: TrainingSet, settings: ModelSettings, device: torch.device, warm_start: WarmStart | None
) -> Learner:
    """Return the network as training begins: random, or as its parent's."""
    propagation = choose_propagation(data, settings, device)
    torch.manual_seed(settings.seed)
    learner = Learner(data, settings, device, propagation)
    if warm_start:
        apply_warm_start(warm_start, learner.network, data.texts)
        learner.average.restart()
    return learner


def _begin(
    learner: Learner, budget: Budget, warm_start: WarmStart | None, is_cancelled: Callable[[], bool]
) -> Run:
    """Return where passes begin: as good as the parent, or pre-trained."""
    run = Run(rng=np.random.default_rng(learner.settings.seed), budget=budget, best=BestPass())
    if warm_start:
        return replace(run, best=better_pass(run.best, learner))
    if learner.settings.pretrain_passes:
        learner.pretrain(lambda: is_cancelled() or time.monotonic() > budget.pretraining_end)
    return run


def _resume(learner: Learner, budget: Budget, saved: SavedTraining | None) -> Run | None:
    """Put the learner where this very training was killed; None: it never was."""
    state = saved.load(learner.state()) if saved else None
    if state is None:
        return None
    learner.restore(state.learner)
    rng = np.random.default_rng()
    rng.bit_generator.state = state.batch_order
    weights = {
        name: torch.from_numpy(array).to(learner.device)
        for name, array in state.best_weights.items()
    }
    return Run(
        rng=rng,
        budget=budget.after_restart(state.seconds),
        best=BestPass(quality=state.best, weights=weights, bad_passes=state.bad_passes),
        passes=state.passes,
        steps=state.steps,
    )


def _state(learner: Learner, run: Run) -> TrainingState:
    """Return what `_resume` needs."""
    return TrainingState(
        passes=run.passes,
        steps=run.steps,
        bad_passes=run.best.bad_passes,
        seconds=run.budget.spent(),
        best=run.best.quality,
        batch_order=run.rng.bit_generator.state,
        learner=learner.state(),
        best_weights={name: value.cpu().numpy() for name, value in run.best.weights.items()},
    )


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
    held_out: HoldoutEdges,
    figures: dict[str, float],
    warm_start: WarmStart | None,
) -> TrainedModel:
    """Propagate over all facts; return everything as arrays."""
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
def _torch_errors_named() -> Iterator[None]:
    """Raise what goes wrong inside torch as `TrainingFailed`."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise TrainingFailed(
            f"training ran out of memory; lower model.batch_size or model.dim ({error})"
        ) from error
    except RuntimeError as error:
        # torch reports what goes wrong inside it, a failed allocation on the CPU among
        # it, as this.
        raise TrainingFailed(f"training failed inside torch: {error}") from error


def _spare_cores() -> int:
    """All cores but one: threads that wait for a core which the stream holds cost more
    than they bring.
    """
    return max(1, len(os.sched_getaffinity(0)) - 1)


def _pick_device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingRefused("model.device is cuda, but torch finds no GPU; set it to auto or cpu")
    return torch.device(name)
