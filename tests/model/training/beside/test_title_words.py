"""What words of titles count is chosen on edges that the model has not seen."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.artifact.generation import open_generation
from model.artifact.store import ArtifactStore
from model.publishing.publish import publish
from model.settings import ModelSettings
from model.training.beside.title_words import (
    WordNodes,
    choose_weight,
    with_title_words,
    with_words_weight,
)
from model.training.train import train
from stream.events.types import CatalogItem
from stream.graph.arrays import GraphArrays
from testing.small_shop import NOW_MS, MakeArrays, shop_events, shop_items, snapshot_of
from testing.vectors import EDGES, parts


def test_words_that_find_what_the_rest_does_not_count() -> None:
    """Also where they did not count before."""
    nodes = parts(WordNodes, beside_knows=True, rest_knows=False)

    chosen, figures = choose_weight(nodes, EDGES, 0.0)

    assert chosen >= 0.2
    assert figures["words_worth"] > figures["words_worth_without"]


def test_words_that_say_nothing_are_switched_off() -> None:
    """Zero is a candidate."""
    nodes = parts(WordNodes, beside_knows=False, rest_knows=True)

    chosen, figures = choose_weight(nodes, EDGES, 3.0)

    assert chosen < 0.2
    assert figures["words_worth"] > 1.5


def test_what_stands_stays_where_nothing_is_surely_better() -> None:
    """Noise is no reason to change; nor are few queries."""
    nodes = parts(WordNodes, beside_knows=True, rest_knows=True)
    few = EDGES[0][:20], EDGES[1][:20]

    assert choose_weight(nodes, EDGES, 0.3)[0] == 0.3
    assert choose_weight(nodes, few, 0.3) == (0.3, {"words_edges": 20.0})


@pytest.fixture(scope="module")
def wide(make_arrays: MakeArrays) -> GraphArrays:
    """Return a shop half of whose items nobody has clicked."""
    unclicked = [
        CatalogItem(item_id=f"unclicked-{number}", title=f"Plain Item {number}")
        for number in range(len(shop_items()))
    ]
    return make_arrays(shop_events(400), [*shop_items(), *unclicked])


def test_they_count_from_the_first_where_words_say_what_clicks_do_not(
    arrays: GraphArrays, wide: GraphArrays, settings: ModelSettings
) -> None:
    """Where many items have no click and queries have words of titles; a text has them
    in its vector either way round.
    """
    settings = replace(settings, words_dim=10, walk_dim=0)
    numbers = [f"{number:05d}" for number in range(wide.num_items)]

    trained = train(wide, settings)
    clicked = train(arrays, settings)
    bare = train(replace(wide, item_titles=numbers), settings)

    assert clicked.words is bare.words is None
    assert bare.evaluation["words_weight"] == clicked.evaluation["words_weight"] == 0.0
    assert trained.words is not None
    assert trained.evaluation["words_weight"] == pytest.approx(trained.words.scale**2)
    assert trained.dim == bare.dim + 10
    title = wide.item_titles[0]
    encoder = trained.text_encoder()
    asked, item = encoder.encode(title), encoder.encode_item(f"{title} and more", title)
    assert asked[-10:-1] == pytest.approx(item[-10:-1], abs=1e-6)
    assert asked[-10:-1].any()
    assert np.linalg.norm(trained.held_out.item_vectors, axis=1) == pytest.approx(1.0, abs=1e-5)


def test_where_they_count_nothing_and_nothing_can_judge_them_no_title_is_read(
    arrays: GraphArrays, settings: ModelSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refresh of a shop without them costs nothing for them."""
    settings = replace(settings, words_dim=10, walk_dim=0)
    trained = train(arrays, replace(settings, words_dim=0))
    few = trained.held_out.query[:20], trained.held_out.item[:20]
    held_out = replace(trained.held_out, query=few[0], item=few[1])
    monkeypatch.setattr("model.training.beside.title_words.word_weights", None)

    with_them = with_title_words(
        replace(trained, held_out=held_out), arrays, settings, None, asks_in_titles=False
    )

    assert with_them.words is None
    assert with_them.evaluation["words_weight"] == with_them.evaluation["words_weight_first"] == 0.0
    assert with_them.evaluation["words_edges"] == len(few[0])


def test_a_refresh_keeps_what_its_parent_chose(
    arrays: GraphArrays, wide: GraphArrays, settings: ModelSettings, tmp_path: Path
) -> None:
    """Unless words are switched off, or the catalogue has become a wide one; texts have
    vectors of the same length, as a server reads them as well.
    """
    settings = replace(settings, words_dim=10)
    trained = with_words_weight(train(arrays, settings), arrays, settings, 0.3)
    store = ArtifactStore(tmp_path)
    name = publish(trained, arrays, snapshot_of(arrays), store, settings, NOW_MS)
    generation = open_generation(store.generation_path(name))

    refreshed = train(arrays, settings, warm=generation)
    widened = train(wide, settings, warm=generation)
    without = train(arrays, replace(settings, words_dim=0), warm=generation)

    assert generation.word_block == trained.words == refreshed.words
    assert generation.network_dim == settings.dim
    assert widened.evaluation["words_weight"] == 0.2
    assert without.words is None
    assert refreshed.dim == trained.dim == without.dim + 10
    text = arrays.item_titles[1]
    encoded = generation.text_encoder().encode(text)
    assert encoded == pytest.approx(trained.text_encoder().encode(text), abs=1e-6)
