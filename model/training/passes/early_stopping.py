"""Early stopping: keeps the pass that ranks the held-out edges best."""

from dataclasses import asdict, dataclass, field, replace

import numpy as np
from torch import Tensor

from model.data.training_set import TrainingSet
from model.ranking import Quality, edge_ranks, popularity_ranks, quality_of
from model.training.step import Learner


@dataclass(frozen=True, kw_only=True)
class BestPass:
    """The best pass so far.

    Attributes:
        quality: on the held-out edges; None: nothing was validated yet.
        weights: the running average of the network's weights after it, by name; empty:
            there is none.
        bad_passes: passes since then.
    """

    quality: Quality | None = None
    weights: dict[str, Tensor] = field(default_factory=dict)
    bad_passes: int = 0

    def should_stop(self, patience: int) -> bool:
        """Return whether `patience` passes brought nothing better."""
        return self.bad_passes >= patience


def better_pass(best: BestPass, learner: Learner) -> BestPass:
    """Validate the current moving average; return the better of it and `best`.

    Where nothing is held out, `best` is unchanged, and no pass counts as bad.
    """
    if not len(learner.data.validation_query):
        return best
    with learner.average.in_place(), learner.gathered():
        quality = Quality(**learner.ranks.same(lambda: asdict(_validate(learner))))
        if best.quality is not None and quality.worth <= best.quality.worth:
            return replace(best, bad_passes=best.bad_passes + 1)
        weights = {name: value.clone() for name, value in learner.network.state_dict().items()}
    return BestPass(quality=quality, weights=weights)


def restore_best(best: BestPass, learner: Learner) -> None:
    """Give the network the weights of the best pass.

    Where nothing was validated these are the running average's.
    """
    if best.weights:
        learner.network.load_state_dict(best.weights)
    else:
        learner.average.adopt()


def popularity_quality(data: TrainingSet) -> Quality:
    """Return how well the most clicked items answer the held-out edges."""
    clicks = np.bincount(data.train.edge_item, minlength=data.train.num_items)
    ranks = popularity_ranks(clicks, data.held_out, data.train.edges)
    return quality_of(ranks, data.validation_query)


def _validate(learner: Learner) -> Quality:
    """Rank the held-out edges by the network's present weights."""
    data = learner.data
    query_vectors, item_vectors, _, _ = learner.vectors(learner.train_graph)
    ranks = edge_ranks(query_vectors, item_vectors, data.held_out, data.train.edges)
    return quality_of(ranks, data.validation_query)
