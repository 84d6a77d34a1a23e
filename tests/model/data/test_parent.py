"""What an earlier generation knows.

By key and id, and by what it was made of, not by event time.
"""

from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest

from model.artifact.generation import Generation, open_generation
from model.artifact.store import ArtifactStore
from model.data.parent import has_learned, learned_by, rows_in
from model.publishing.publish import publish
from model.settings import ModelSettings
from model.training.train import train
from stream.dtypes import Int64s
from stream.events.types import CatalogItem, Interaction
from stream.graph.arrays import GraphArrays
from testing.small_shop import NOW_MS, MakeArrays, click, shop_events, shop_items, snapshot_of

Counts = dict[tuple[str, str], int]


def published(arrays: GraphArrays, settings: ModelSettings, folder: Path) -> Generation:
    """Return a generation of these arrays."""
    store = ArtifactStore(folder)
    trained = train(arrays, replace(settings, max_passes=1, newest_passes=0))
    generation_id = publish(trained, arrays, snapshot_of(arrays), store, settings, NOW_MS)
    return open_generation(store.generation_path(generation_id))


def sessions_of(events: list[Interaction]) -> Counts:
    """Return how many sessions clicked each pair of query and item."""
    clicks = {(event.query, event.item_id, event.session_id) for event in events}
    counts: Counts = {}
    for query, item, _ in clicks:
        counts[query, item] = counts.get((query, item), 0) + 1
    return counts


def named(arrays: GraphArrays, numbers: Int64s) -> Counts:
    """Return the number of each edge by query and item, without zeros."""
    edges = zip(
        arrays.edge_query.tolist(), arrays.edge_item.tolist(), numbers.tolist(), strict=True
    )
    return {
        (arrays.query_texts[query], arrays.item_ids[item]): number
        for query, item, number in edges
        if number
    }


@pytest.mark.parametrize("seed", range(5))
def test_what_it_has_learned_is_what_it_was_made_of(
    make_arrays: MakeArrays, settings: ModelSettings, tmp_path: Path, seed: int
) -> None:
    """Whichever of the sessions that was: times have no say."""
    random = Random(seed)
    everything = shop_events(120, seed=seed)
    before = [event for event in everything if random.random() < 0.6]
    generation = published(make_arrays(before, shop_items()[:20]), settings, tmp_path)
    now = make_arrays(everything, shop_items())

    rows = rows_in(generation, now.query_keys, now.item_ids)
    learned = learned_by(generation, now, rows)

    assert named(now, learned.sessions) == sessions_of(before)
    has = has_learned(generation, rows, now.edge_query, now.edge_item, now.edge_first_ms)
    assert np.array_equal(has, learned.sessions > 0)


def test_rows_follow_keys_and_ids(
    make_arrays: MakeArrays, settings: ModelSettings, tmp_path: Path
) -> None:
    """Nodes that came since move every row; those that are gone leave none."""
    generation = published(make_arrays(shop_events(40), shop_items()), settings, tmp_path)
    now = make_arrays(
        shop_events(40, seed=3), [*shop_items()[3:], CatalogItem(item_id="zorb", title="Zorb")]
    )

    rows = rows_in(generation, now.query_keys, now.item_ids)

    known = {text: row for row, text in enumerate(generation.query_texts)}
    assert rows.query.tolist() == [known.get(text, -1) for text in now.query_texts]
    assert -1 in rows.query
    assert max(rows.query) >= 0
    ids = list(generation.item_ids)
    assert rows.item.tolist() == [ids.index(each) if each in ids else -1 for each in now.item_ids]
    assert rows.item[now.item_ids.index("zorb")] == -1


def test_a_generation_from_before_graphs_were_stored_is_asked_for_its_watermark(
    generation: Generation, make_arrays: MakeArrays
) -> None:
    """It is the best it has to say."""
    old = replace(generation, paths=None)
    later = [click(10**9, "later", "red mug", "mug-red"), click(10**9, "later", "zorb", "mug-red")]
    now = make_arrays([*shop_events(400), *later], shop_items())

    rows = rows_in(old, now.query_keys, now.item_ids)
    learned = learned_by(old, now, rows)

    assert named(now, learned.sessions) == sessions_of(shop_events(400))
    has = has_learned(old, rows, now.edge_query, now.edge_item, now.edge_first_ms)
    assert np.array_equal(has, learned.sessions > 0)


def test_a_log_without_queries_is_learned_up_to_the_watermark(
    make_arrays: MakeArrays, settings: ModelSettings, tmp_path: Path
) -> None:
    """Its generation keeps no clicks: those it was trained on stand for titles."""
    views = [replace(event, query="") for event in shop_events(60)]
    arrays = make_arrays(views, shop_items())
    generation = published(arrays, settings, tmp_path)
    assert generation.paths is not None
    assert generation.paths.num_queries == 0

    again = train(arrays, settings, warm=generation)

    assert again.parent == generation.id
    assert again.evaluation["steps"] == 0
