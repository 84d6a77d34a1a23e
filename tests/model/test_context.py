"""How far a session draws a query."""

import numpy as np
import pytest

from model.artifact.encoder import unit_rows
from model.context import NO_CONTEXT, ContextWeights, shifted
from stream.dtypes import Float32s


def rows(seed: int, count: int) -> Float32s:
    """Return unit vectors ``float32 [count, 8]``."""
    return unit_rows(np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32))


NONE = np.zeros((0, 8), dtype=np.float32)


@pytest.mark.parametrize("weights", [ContextWeights(0.4), ContextWeights(0.4, 0.2)])
def test_the_shift_is_the_formula(weights: ContextWeights) -> None:
    """The unit vector of ``q + a * mean(items) + b * mean(queries)``."""
    query, items, queries = rows(0, 1)[0], rows(1, 3), rows(2, 2)

    found = shifted(query, items, queries, weights)

    expected = query + weights.items * items.mean(axis=0) + weights.queries * queries.mean(axis=0)
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-6)
    assert found.dtype == np.float32


@pytest.mark.parametrize(
    ("items", "queries", "weights"),
    [
        (rows(1, 3), rows(2, 2), NO_CONTEXT),
        (NONE, NONE, ContextWeights(0.4, 0.4)),
        (NONE, rows(2, 2), ContextWeights(0.4, 0.0)),
    ],
    ids=["no weight", "no member", "members without weight"],
)
def test_nothing_to_shift_by_leaves_the_query(
    items: Float32s, queries: Float32s, weights: ContextWeights
) -> None:
    """To the last bit: an answer without context is what it always was."""
    query = rows(0, 1)[0]

    np.testing.assert_array_equal(shifted(query, items, queries, weights), query)


def test_a_query_that_its_session_cancels_keeps_its_vector() -> None:
    """There is no direction left to scale."""
    query = rows(0, 1)[0]

    np.testing.assert_array_equal(shifted(query, -query[None], NONE, ContextWeights(1.0)), query)
