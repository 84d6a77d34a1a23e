"""How much a new generation answers unlike the one before it."""

import math

import numpy as np

from server.live import LiveGeneration

# Queries that both generations are asked: the mean is known to about .05. Twice as many
# take twice as long, in the thread that looks for the next generation.
_NUM_QUERIES = 32
# Items of an answer: a first page of results (`server.default_k`). Twice as many
# compare what hardly anybody sees.
_K = 10


def answer_overlap(old: LiveGeneration, new: LiveGeneration) -> float:
    """Return the share of their first ten answers that two generations have in common.

    Spaces of two trainings cannot be compared, answers can. The queries are spread
    evenly over those of the old generation; those that the new one does not know are
    left out.

    Returns:
        0 to 1, a mean over queries; NaN: there is nothing to compare.
    """
    num_queries = old.generation.manifest.num_queries
    if not num_queries or not len(old.index) or not len(new.index):
        return math.nan
    rows = np.unique(np.linspace(0, num_queries - 1, _NUM_QUERIES).astype(np.int64)).tolist()
    shares = [_share(old, new, row) for row in rows]
    known = [share for share in shares if share is not None]
    return float(np.mean(known)) if known else math.nan


def _share(old: LiveGeneration, new: LiveGeneration, row: int) -> float | None:
    other = new.generation.find_query(old.generation.query_texts[row])
    if other is None:
        return None
    before, after = _answers(old, row), _answers(new, other)
    return len(before & after) / max(len(before), len(after))


def _answers(live: LiveGeneration, row: int) -> set[str]:
    generation = live.generation
    ids, _ = live.index.search(generation.query_vectors[row], min(_K, len(live.index)))
    return {generation.item_ids[item] for item in generation.index_items[ids].tolist()}
