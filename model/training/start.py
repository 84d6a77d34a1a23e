"""Where a training starts: a new network, its parent's weights, or the state that it
was killed in.
"""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from model.data.parent import LearnedClicks
from model.data.training_set import TrainingSet
from model.errors import TrainingRefused
from model.ranking import Quality
from model.settings import ModelSettings
from model.training.limits.budget import Budget
from model.training.limits.memory_limit import choose_propagation
from model.training.passes.early_stopping import BestPass, better_pass
from model.training.passes.run import Run
from model.training.ranks.ranks import Ranks
from model.training.saved_state import SavedTraining, TrainingState
from model.training.step import Learner
from model.training.warm_start import WarmStart, apply_warm_start, warm_ids
from stream.dtypes import Int64s


def learned_by_parent(warm_start: WarmStart | None, ranks: Ranks) -> LearnedClicks | None:
    """Return on all ranks what the first one's parent has learned; None: there is no
    parent.
    """
    own: dict[str, Int64s] = {}
    if warm_start is not None:
        learned = warm_start.learned
        own = {"sessions": learned.sessions, "until_ms": np.array(learned.until_ms)}
    arrays = ranks.arrays(own if ranks.is_first else None)
    if not arrays:
        return None
    return LearnedClicks(sessions=arrays["sessions"], until_ms=int(arrays["until_ms"]))


def make_learner(
    data: TrainingSet,
    settings: ModelSettings,
    device: torch.device,
    warm_start: WarmStart | None,
    ranks: Ranks,
) -> Learner:
    """Return the network as training begins: random, or as its parent's."""
    if settings.pretrain_passes and ranks.size > 1:
        raise TrainingRefused(
            "pre-training is for one rank; set model.pretrain_passes to 0, or train on one"
        )
    propagation = choose_propagation(data, settings, device, ranks)
    torch.manual_seed(settings.seed)
    learner = Learner(data, settings, device, propagation, ranks)
    if warm_start:
        apply_warm_start(warm_start, learner.network, data.texts)
    if ranks.size > 1:
        _begin_alike(learner, warm_start)
    learner.average.restart()
    return learner


def _begin_alike(learner: Learner, warm_start: WarmStart | None) -> None:
    """Give all ranks the weights of the first one, id vectors those of the parent."""
    network, partition = learner.network, learner.partition
    shared = [value for name, value in network.state_dict().items() if name != "ids"]
    learner.ranks.copy_first(shared)
    if partition is None:
        learner.ranks.copy_first([network.ids])
    elif learner.ranks.either(warm_start is not None)[0]:
        ids = torch.from_numpy(warm_ids(warm_start)) if warm_start else None
        partition.spread(ids, network.ids)


def begin_run(
    learner: Learner, budget: Budget, is_cancelled: Callable[[], bool], *, is_warm: bool
) -> Run:
    """Return where passes begin: as good as the parent, or pre-trained."""
    run = Run(rng=np.random.default_rng(learner.settings.seed), budget=budget, best=BestPass())
    if is_warm:
        return replace(run, best=better_pass(run.best, learner))
    if learner.settings.pretrain_passes:
        learner.pretrain(lambda: is_cancelled() or time.monotonic() > budget.pretraining_end)
    return run


def resume_run(learner: Learner, budget: Budget, saved: SavedTraining | None) -> Run | None:
    """Put the learner where this very training was killed, on however many ranks; None:
    it never was.
    """
    state = saved.load(learner.empty_state()) if saved else None
    found = learner.ranks.same(lambda: state.progress() if state else None)
    if found is None:
        return None
    learner.restore(state.learner if state else {})
    rng = np.random.default_rng()
    rng.bit_generator.state = found["batch_order"]
    best = Quality(**found["best"]) if found["best"] else None
    weights: dict[str, torch.Tensor] = {}
    if best is not None:
        weights = {
            name: torch.empty_like(value) for name, value in learner.network.state_dict().items()
        }
        learner.spread(state.best_weights if state else {}, weights)
    return Run(
        rng=rng,
        budget=budget.after_restart(found["seconds"]),
        best=BestPass(quality=best, weights=weights, bad_passes=found["bad_passes"]),
        passes=found["passes"],
        steps=found["steps"],
    )


def save_run(learner: Learner, run: Run, saved: SavedTraining | None) -> None:
    """Save where a training is, where it is time to: on the first rank, with what the
    others hold.
    """
    is_due = saved is not None and saved.is_due()
    if not learner.ranks.either(is_due)[0]:
        return
    state = _state(learner, run)
    if saved is not None:
        saved.save(lambda: state)


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
        best_weights=learner.collected(run.best.weights),
    )
