"""Where a training is between two passes."""

from dataclasses import dataclass

import numpy as np

from model.training.limits.budget import Budget
from model.training.passes.early_stopping import BestPass


@dataclass(frozen=True, kw_only=True)
class Run:
    """Where a training is between two passes, besides its learner.

    Attributes:
        rng: orders batches; each draw changes it.
        budget: how long it may take.
        best: the best pass so far.
        passes: passes done.
        steps: steps done.
    """

    rng: np.random.Generator
    budget: Budget
    best: BestPass
    passes: int = 0
    steps: int = 0
