"""The training loop: hide what is supervised, step, validate, stop in time, go on from
an earlier generation.

Nothing imports this module when it is itself imported: torch takes seconds to load.
"""

import logging
import os
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from model.artifact.generation import Generation
from model.data.batches import num_batches, num_refresh_batches
from model.data.trainable import Learnable, learnable
from model.data.training_set import build_training_set
from model.errors import TrainingFailed, TrainingRefused, TrainingStopped
from model.ranking import Quality, edge_ranks, popularity_ranks, quality_of
from model.settings import ModelSettings
from model.training.memory_limit import choose_propagation
from model.training.result import HeldOut, Progress, Trained
from model.training.saved_state import SavedTraining, TrainingState
from model.training.step import Floats, Ints, Learner
from model.training.warm_start import (
    apply_warm_start,
    export_encoder,
    export_warm_start,
    open_warm_start,
)
from stream.graph.arrays import GraphArrays

logger = logging.getLogger(__name__)

_PASSES_WITHOUT_VALIDATION = 6
_FINAL_RATE = 0.1
_PRETRAINING_SHARE = 0.4
_NEWEST_RATE = 0.3
_NEWEST_SHARE = 0.1
_INDEX_SECONDS_PER_ITEM_AND_TREE = 3e-6
_LEAST_EXPORT_SECONDS = 0.2


def train(
    arrays: GraphArrays,
    settings: ModelSettings,
    *,
    warm: Generation | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    stop: Callable[[], bool] | None = None,
    saved: SavedTraining | None = None,
) -> Trained:
    """Train on a snapshot's graph and export the vectors of all its nodes.

    Args:
        arrays: the merged graph.
        settings: network, optimisation and time budget.
        warm: a generation to go on from; one that does not fit the settings is ignored
            with a warning.
        on_progress: called after every pass.
        stop: asked before every step; True stops at once.
        saved: where this very training leaves its state after its passes, and goes on
            from if it was killed; the model is the same as if it never was.

    Raises:
        TrainingRefused: there is nothing to learn from, it does not fit, or the device
            is not there.
        TrainingFailed: the loss became NaN, memory ran out, or the budget did not allow
            a single step.
        TrainingStopped: `stop` said so.
    """
    started = time.monotonic()
    torch.set_num_threads(settings.num_threads or _spare_cores())
    device = _pick_device(settings.device)
    source = learnable(arrays)
    warm_start = open_warm_start(warm, source.arrays, settings) if warm is not None else None
    data = build_training_set(source.arrays, settings, warm_start.learned if warm_start else None)
    try:
        propagation = choose_propagation(data, settings, device)
        torch.manual_seed(settings.seed)
        learner = Learner(data, settings, device, propagation)
        if warm_start:
            apply_warm_start(warm_start, learner.network, data.texts)
            learner.average.restart()
        fit = _Fit(learner, started, on_progress, stop, saved, is_warm=warm_start is not None)
        if not fit.goes_on() and settings.pretrain_passes and not warm_start:
            fit.pretrain()
        fit.run()
        return fit.export(source, warm_start.generation.id if warm_start else "")
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise TrainingFailed(
            f"training ran out of memory; lower model.batch_size or model.dim ({error})"
        ) from error
    except RuntimeError as error:
        # torch reports what goes wrong inside it, a failed allocation on the CPU among
        # it, as this.
        raise TrainingFailed(f"training failed inside torch: {error}") from error


class _Fit:
    """The loop around `Learner.step`: passes, validation, early stopping, budget."""

    def __init__(
        self,
        learner: Learner,
        started: float,
        on_progress: Callable[[Progress], None] | None,
        stop: Callable[[], bool] | None,
        saved: SavedTraining | None = None,
        *,
        is_warm: bool,
    ) -> None:
        self._learner = learner
        self._settings = learner.settings
        self._started = started
        self._on_progress = on_progress or (lambda _: None)
        self._stop = stop or (lambda: False)
        self._saved = saved
        self._is_warm = is_warm
        self._rng = np.random.default_rng(learner.settings.seed)
        self._steps = 0
        self._passes = 0
        self._bad_passes = 0
        self._best: Quality | None = None
        self._best_state: dict[str, Tensor] = {}
        self._validates = len(learner.data.validation_query) > 0

    def goes_on(self) -> bool:
        """Go on from where the same training was killed.

        Return whether there is such a place.
        """
        state = self._saved.load(self._learner.state()) if self._saved else None
        if state is None:
            return False
        self._learner.restore(state.learner)
        self._rng.bit_generator.state = state.batch_order
        self._started -= state.seconds
        self._passes, self._steps, self._bad_passes = state.passes, state.steps, state.bad_passes
        self._best = state.best
        self._best_state = {
            name: torch.from_numpy(array).to(self._learner.device)
            for name, array in state.best_weights.items()
        }
        return True

    def pretrain(self) -> None:
        """Learn from the graph's shape before its edges are supervised, for a share of
        the budget at most.
        """
        until = self._started + _PRETRAINING_SHARE * self._settings.budget_seconds
        self._learner.pretrain(lambda: self._stop() or time.monotonic() > until)

    def run(self) -> None:
        """Train until validation stops getting better, the passes are done, or the
        budget is used up.
        """
        passes = self._most_passes()
        if self._is_warm and not self._passes:
            self._keep_if_better()
        while self._passes < passes and self._bad_passes < self._settings.patience:
            self._set_rate(_FINAL_RATE ** (self._passes / passes))
            loss = self._one_pass()
            if loss is None:
                break
            self._passes += 1
            self._bad_passes = 0 if self._keep_if_better() else self._bad_passes + 1
            if self._saved:
                self._saved.save(self._state)
            self._report(passes, loss)
        if passes:
            self._refuse_no_step()
        if self._best is None:
            self._keep_if_better()
        if self._best_state:
            self._learner.network.load_state_dict(self._best_state)
        else:
            self._learner.average.adopt()

    def _most_passes(self) -> int:
        """None where an earlier generation has learned all but the newest facts, which
        come last.
        """
        settings, data = self._settings, self._learner.data
        if not data.recent.any():
            return 0
        passes = settings.warm_passes if self._is_warm else settings.max_passes
        return passes if self._validates else min(passes, _PASSES_WITHOUT_VALIDATION)

    def _state(self) -> TrainingState:
        return TrainingState(
            passes=self._passes,
            steps=self._steps,
            bad_passes=self._bad_passes,
            seconds=time.monotonic() - self._started,
            best=self._best,
            batch_order=self._rng.bit_generator.state,
            learner=self._learner.state(),
            best_weights={name: value.cpu().numpy() for name, value in self._best_state.items()},
        )

    def _one_pass(self) -> float | None:
        """Go over what a pass draws; see `_steps_over`.

        Some of the budget is kept for the newest facts.
        """
        until = self._deadline() - _NEWEST_SHARE * self._settings.budget_seconds
        drawn = self._drawn()
        return self._steps_over(drawn, num_batches(len(drawn), self._settings.batch_size), until)

    def _drawn(self) -> Ints:
        """Return the recent edges and a fresh sample of the older ones."""
        recent = self._learner.data.recent
        older = np.flatnonzero(~recent)
        replayed = self._rng.permutation(older)[
            : int(np.ceil(self._settings.replay_share * len(older)))
        ]
        return np.concatenate([np.flatnonzero(recent), replayed])

    def _steps_over(self, edges: Ints, steps: int, until: float) -> float | None:
        """Supervise edges once, in random order.

        Return the mean loss, or None where time ran out.
        """
        total, batches = 0.0, 0
        for batch in np.array_split(self._rng.permutation(edges), steps):
            if self._stop():
                raise TrainingStopped("training was asked to stop; nothing was published")
            if time.monotonic() > until:
                return None
            loss = self._learner.step(batch)
            if not np.isfinite(loss):
                raise TrainingFailed(
                    f"the loss became {loss} after {self._steps} steps; "
                    "lower model.learning_rate or change model.seed"
                )
            self._steps += 1
            total, batches = total + loss, batches + 1
        return total / max(1, batches)

    def _deadline(self) -> float:
        settings, num_items = self._settings, self._learner.data.train.num_items
        export = (
            _LEAST_EXPORT_SECONDS
            + _INDEX_SECONDS_PER_ITEM_AND_TREE * num_items * settings.num_trees
        )
        return self._started + settings.budget_seconds - min(export, settings.budget_seconds / 2)

    def _set_rate(self, share: float) -> None:
        self._learner.optimizer.learning_rate = share * self._settings.learning_rate

    def _keep_if_better(self) -> bool:
        if not self._validates:
            return True
        with self._learner.average.in_place():
            quality = self._validation_quality()
            if self._best is not None and _worth(quality) <= _worth(self._best):
                return False
            self._best = quality
            self._best_state = {
                name: value.clone() for name, value in self._learner.network.state_dict().items()
            }
        return True

    def _validation_quality(self) -> Quality:
        data = self._learner.data
        query_vectors, item_vectors, _, _ = self._learner.vectors(self._learner.train_graph)
        ranks = edge_ranks(query_vectors, item_vectors, *self._validation_edges())
        return quality_of(ranks, data.validation_query)

    def _validation_edges(self) -> tuple[tuple[Ints, Ints], tuple[Ints, Ints]]:
        data = self._learner.data
        held_out = (data.validation_query, data.validation_item)
        return held_out, (data.train.edge_query, data.train.edge_item)

    def _report(self, passes: int, loss: float) -> None:
        progress = Progress(
            passes=self._passes,
            max_passes=passes,
            loss=loss,
            mrr=self._best.mrr if self._best else None,
            seconds=time.monotonic() - self._started,
        )
        logger.debug("pass done pass=%d loss=%.4f best_mrr=%s", progress.passes, loss, progress.mrr)
        self._on_progress(progress)

    def export(self, source: Learnable, parent: str) -> Trained:
        """Learn from the held-out facts as well, propagate over all, and hand
        everything on as arrays.

        What the gate judges, and the figures, are from before: they did not see what
        they are asked.
        """
        learner, data = self._learner, self._learner.data
        num_queries = 0 if source.titles_as_queries else data.whole.num_queries
        held_out, evaluation = self._held_out(num_queries), self._evaluation()
        learner.learn_from(data.whole)
        self._learn_newest()
        query_vectors, item_vectors, query_attention, item_attention = learner.vectors(
            learner.train_graph
        )
        _refuse_nan(query_vectors, item_vectors)
        warm = export_warm_start(learner.network, data.whole.num_queries)
        return Trained(
            query_vectors=query_vectors[:num_queries],
            item_vectors=item_vectors,
            query_attention=query_attention[:num_queries],
            item_attention=item_attention,
            encoder=export_encoder(learner.network, data.texts, self._settings.num_buckets),
            warm={**warm, "query_ids": warm["query_ids"][:num_queries]},
            held_out=held_out,
            evaluation=evaluation,
            parent=parent,
            settings=self._settings,
        )

    def _learn_newest(self) -> None:
        """Go over the newest edges beside as many others.

        What is newest is what shoppers do now.
        """
        data, learner = self._learner.data, self._learner
        others = np.setdiff1d(np.arange(len(data.whole.edge_query)), data.newest)
        learner.average.restart()
        self._set_rate(_NEWEST_RATE)
        passes = self._settings.warm_passes if self._is_warm else self._settings.newest_passes
        cut = num_refresh_batches if self._is_warm else num_batches
        for _ in range(passes if len(data.newest) else 0):
            beside = self._rng.permutation(others)[: len(data.newest)]
            edges = np.concatenate([data.newest, beside])
            if (
                self._steps_over(
                    edges, cut(len(edges), self._settings.batch_size), self._deadline()
                )
                is None
            ):
                break
        if passes and len(data.newest):
            self._refuse_no_step()
        learner.average.adopt()

    def _refuse_no_step(self) -> None:
        """What was not learned must not be taken for known, which the watermark of a
        generation says.
        """
        if not self._steps:
            raise TrainingFailed(
                f"the budget of {self._settings.budget_seconds:g} s was over before the first "
                "step; "
                "raise model.budget_seconds"
            )

    def _held_out(self, num_queries: int) -> HeldOut:
        data = self._learner.data
        query_vectors, item_vectors, _, _ = self._learner.vectors(self._learner.train_graph)
        kept = data.validation_query < num_queries
        return HeldOut(
            query=data.validation_query[kept],
            item=data.validation_item[kept],
            first_ms=data.validation_first_ms[kept],
            query_vectors=query_vectors[:num_queries],
            item_vectors=item_vectors,
        )

    def _evaluation(self) -> dict[str, float]:
        figures = {
            "passes": float(self._passes),
            "steps": float(self._steps),
            "train_seconds": time.monotonic() - self._started,
            "temperature": float(self._learner.network.log_temperature.detach().exp()),
            "validation_edges": float(len(self._learner.data.validation_query)),
        }
        if self._best is None:
            return figures
        popularity = np.bincount(
            self._learner.data.train.edge_item, minlength=self._learner.data.train.num_items
        )
        baseline = quality_of(
            popularity_ranks(popularity, *self._validation_edges()),
            self._learner.data.validation_query,
        )
        return figures | {
            "validation_mrr": self._best.mrr,
            "validation_recall_10": self._best.recall_10,
            "validation_recall_100": self._best.recall_100,
            "popularity_mrr": baseline.mrr,
            "popularity_recall_10": baseline.recall_10,
        }


def _worth(quality: Quality) -> float:
    return quality.mrr + quality.recall_10


def _refuse_nan(*arrays: Floats) -> None:
    if not all(np.isfinite(array).all() for array in arrays):
        raise TrainingFailed("the exported vectors are not finite; lower model.learning_rate")


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
