"""Walks through sessions beside a trained model's vectors, and in its refreshes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.artifact.generation import open_generation
from model.artifact.store import ArtifactStore
from model.beside.session_walk import WalkScales
from model.publishing.publish import publish
from model.settings import ModelSettings
from model.training.beside.session_walk import with_walk_scales
from model.training.train import train
from stream.graph.arrays import GraphArrays
from testing.small_shop import NOW_MS, snapshot_of

SOME = WalkScales(query=1.0, new_query=0.5, item=0.2, new_item=0.3)


def test_a_refresh_keeps_what_its_parent_chose(
    arrays: GraphArrays, settings: ModelSettings, tmp_path: Path
) -> None:
    """Unless walks are switched off, or something is surely better; texts have vectors
    of the same length.
    """
    settings = replace(settings, walk_dim=9)
    trained = with_walk_scales(train(arrays, settings), arrays, settings, SOME)
    store = ArtifactStore(tmp_path)
    name = publish(trained, arrays, snapshot_of(arrays), store, settings, NOW_MS)
    generation = open_generation(store.generation_path(name))

    refreshed = train(arrays, settings, warm=generation)
    without = train(arrays, replace(settings, walk_dim=0), warm=generation)

    assert generation.walk_block == trained.walk == refreshed.walk
    assert generation.network_dim == settings.dim
    assert refreshed.dim == trained.dim == without.dim + 9
    assert without.walk is None
    encoded = generation.text_encoder().encode("never asked before")
    assert encoded.shape == (trained.dim,)
    assert np.linalg.norm(encoded) == pytest.approx(1.0, abs=1e-6)
    assert encoded[-9:-1].any()
    assert encoded == pytest.approx(trained.text_encoder().encode("never asked before"), abs=1e-6)


def test_without_sessions_or_where_they_do_not_count_vectors_stay(
    arrays: GraphArrays, settings: ModelSettings
) -> None:
    """And no figure says that walks were tried."""
    settings = replace(settings, use_hypergraph=False)

    trained = train(arrays, settings)

    assert trained.walk is None
    assert not [figure for figure in trained.evaluation if figure.startswith("walk")]
