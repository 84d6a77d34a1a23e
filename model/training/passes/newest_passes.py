"""The passes over the newest edges, which close a training."""

from collections.abc import Callable

import numpy as np

from model.data.batches import (
    closing_pass_edges,
    num_batches,
    num_refresh_batches,
    shuffled_batches,
)
from model.training.passes.run import Run
from model.training.step import Learner, supervise

# Share of `model.learning_rate` in the closing passes. In replays of bestbuy_xbox
# (docs/experiments.md, Refreshing) refreshes of 3 passes at 0.3 gain what 12 at 0.1 do,
# and 12 at 0.3 gain less: rate times passes counts. Twice the rate was not tried; it
# would move what is known more, or want half of the passes.
_NEWEST_RATE = 0.3


def learn_newest(
    learner: Learner, run: Run, is_cancelled: Callable[[], bool], *, is_warm: bool
) -> None:
    """Make the closing passes: over the newest edges beside as many others.

    The newest edges are most like the next ones.

    Args:
        learner: already learns from the whole graph.
        run: where the passes before ended.
        is_cancelled: as in `train`.
        is_warm: training has a parent.
    """
    data, settings = learner.data, learner.settings
    passes = settings.warm_passes if is_warm else settings.newest_passes
    count = num_refresh_batches if is_warm else num_batches
    others = np.setdiff1d(np.arange(len(data.whole.edge_query)), data.newest)
    steps = run.steps
    learner.average.restart()
    learner.set_rate(_NEWEST_RATE)
    for _ in range(passes if len(data.newest) else 0):
        edges = closing_pass_edges(data.newest, others, run.rng)
        batches = shuffled_batches(edges, count(len(edges), settings.batch_size), run.rng)
        losses = supervise(learner, batches, run.budget.end, is_cancelled, steps)
        steps += len(losses)
        if len(losses) < len(batches):
            break
    if passes and len(data.newest):
        run.budget.refuse_no_step(steps)
    learner.average.adopt()
