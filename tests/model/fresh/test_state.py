"""The fresh lane's state: what rounds recompute."""

from pathlib import Path

import numpy as np

from model.artifact.generation import open_generation
from model.fresh.changes import GraphChanges
from model.fresh.state import FreshState
from protos.text import text_key
from stream.events.types import CatalogItem
from testing.small_generations import Artifacts, make_catalogue


def test_a_listed_item_gets_the_vector_of_its_text_and_a_deleted_one_is_gone(
    tmp_path: Path,
) -> None:
    """A catalogue state alone makes an item, or takes one away."""
    artifacts = Artifacts(tmp_path / "artifacts")
    generation_id = artifacts.write(make_catalogue(5))
    generation = open_generation(artifacts.store.generation_path(generation_id))
    listed = CatalogItem(item_id="new", title="Blue Lamp", text="glass", attributes={"a": "b"})
    deleted = CatalogItem(item_id="old", deleted=True, ts_ms=7)
    state = FreshState(generation)

    result = state.apply(
        [GraphChanges(catalog={text_key(item.item_id): item for item in (listed, deleted)})]
    )

    assert result.item_ids == ("new",)
    assert result.item_attributes == ('{"a": "b"}',)
    assert result.gone_items == ("old",)
    assert result.gone_item_ms.tolist() == [7]
    np.testing.assert_allclose(
        result.item_vectors[0],
        generation.text_encoder().encode_item("Blue Lamp glass"),
        atol=1e-6,
    )
    assert state.num_items == 1
