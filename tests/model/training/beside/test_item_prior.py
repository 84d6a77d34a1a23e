"""What priors of items count is chosen on edges that the model has not seen."""

from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest

from model.artifact.generation import open_generation
from model.artifact.store import ArtifactStore
from model.beside.item_prior import Prior
from model.publishing.publish import publish
from model.settings import ModelSettings
from model.training.beside.item_prior import PRIOR_OFF, PriorNodes, choose_prior, with_prior
from model.training.beside.two_parts import TwoParts
from model.training.train import train
from stream.actions import Action
from stream.dtypes import Float32s, Int64s
from stream.graph.arrays import GraphArrays
from testing.small_shop import (
    NOW_MS,
    MakeArrays,
    click,
    shop_events,
    shop_items,
    snapshot_of,
)
from testing.vectors import EDGES, NUM, parts

SOME = Prior(weight=0.05, known_share=0.1, new_share=0.2)
TRIED = (
    Prior(weight=0.1, known_share=0.0, new_share=0.0),
    Prior(weight=0.2, known_share=0.0, new_share=0.0),
)
TO_THE_FIRST_TEN = EDGES[0], EDGES[0] % 10
"""All ask for the same few items."""


def nodes(*, often_seen: int, rest_knows: bool = False) -> PriorNodes:
    """Return nodes of which every item was clicked, and sessions have ten often, from
    this on.
    """
    found = parts(TwoParts, beside_knows=False, rest_knows=rest_knows)
    return PriorNodes(
        query_vectors=found.query_vectors,
        item_vectors=found.item_vectors,
        query_directions=np.zeros((NUM, 1), dtype=np.float32),
        item_directions=np.zeros((NUM, 1), dtype=np.float32),
        seen=(np.arange(NUM), np.roll(np.arange(NUM), 60)),
        clicks=np.full(NUM, 9),
        shares=lambda _: share_of_ten(often_seen),
    )


def share_of_ten(first: int) -> Float32s:
    """Return the share of ten items from this on, of which alone sessions have any."""
    share = np.zeros(NUM, dtype=np.float32)
    share[first : first + 10] = 1.0
    return share


def test_what_is_often_seen_counts_where_it_is_asked_for() -> None:
    """Also where it did not count before."""
    shop = nodes(often_seen=0)

    chosen, figures = choose_prior(shop, TO_THE_FIRST_TEN, PRIOR_OFF, TRIED)
    by_age_alone, _ = choose_prior(shop, TO_THE_FIRST_TEN, PRIOR_OFF, ())

    assert chosen.weight == 0.2
    assert by_age_alone.weight == 0.1
    assert figures["prior_worth"] > figures["prior_worth_without"]


def test_age_counts_where_what_was_seen_lately_is_asked_for() -> None:
    """And the half-life by which others are popular does not."""
    by_age = replace(
        nodes(often_seen=0),
        shares=lambda half_life: share_of_ten(0 if half_life == 10.0 else 50),
    )

    chosen, _ = choose_prior(by_age, TO_THE_FIRST_TEN, PRIOR_OFF, TRIED)

    assert chosen == replace(TRIED[1], half_life_days=10.0)


def test_items_that_would_pay_keep_a_weight_small() -> None:
    """Four queries in five ask for what is often seen, others for what is rare and the
    rest of their vectors knows: they lose it to the often seen by a large weight.
    """
    asked = np.arange(NUM), np.where(np.arange(NUM) % 5 == 0, np.arange(NUM), np.arange(NUM) % 10)
    of_both = nodes(often_seen=0)
    items = of_both.item_vectors.copy()
    items[np.arange(10, NUM, 5)] = of_both.query_vectors[np.arange(10, NUM, 5)]
    clicks = np.where(np.arange(NUM) < 10, 9, 1)
    some, far_more = (Prior(weight=weight, known_share=0.0, new_share=0.0) for weight in (0.5, 5.0))

    def chosen(clicks: Int64s) -> Prior:
        judged = replace(of_both, item_vectors=items, clicks=clicks)
        return choose_prior(judged, asked, PRIOR_OFF, [some, far_more])[0]

    assert chosen(clicks) == some
    assert chosen(np.full(NUM, 9)) == far_more


def test_what_is_often_seen_and_not_asked_for_is_switched_off() -> None:
    """Zero is a candidate."""
    far_too_much = Prior(weight=3.0, known_share=0.0, new_share=0.0)

    chosen, _ = choose_prior(nodes(often_seen=50), TO_THE_FIRST_TEN, far_too_much, TRIED)

    assert chosen.weight < 0.3


def test_what_stands_stays_where_nothing_is_surely_better() -> None:
    """Nor are few queries a reason to change."""
    few = TO_THE_FIRST_TEN[0][:20], TO_THE_FIRST_TEN[1][:20]

    assert choose_prior(nodes(often_seen=0, rest_knows=True), EDGES, SOME, TRIED)[0] == SOME
    assert choose_prior(nodes(often_seen=0), few, SOME, TRIED) == (SOME, {"prior_edges": 20.0})


@pytest.fixture(scope="module")
def viewed(make_arrays: MakeArrays) -> GraphArrays:
    """Return a shop most of whose sessions' items were seen outside search."""
    random, ids = Random(0), [item.item_id for item in shop_items()]
    views = [
        click(number, f"v{number // 4}", "", random.choice(ids), Action.VIEW)
        for number in range(4000)
    ]
    return make_arrays([*shop_events(400), *views], shop_items())


def test_they_are_there_from_the_first_where_sessions_hold_views(
    arrays: GraphArrays, viewed: GraphArrays, settings: ModelSettings
) -> None:
    """Elsewhere only once held-out edges are sure of them, and as little as may be."""
    too_few = replace(settings, max_validation_edges=20)
    trained, of_clicks = train(viewed, too_few), train(arrays, too_few)

    assert trained.evaluation["prior_weight"] == 0.1
    assert of_clicks.evaluation["prior_weight"] == 0.0
    assert of_clicks.prior is None


def test_a_refresh_keeps_what_its_parent_chose(
    viewed: GraphArrays, settings: ModelSettings, tmp_path: Path
) -> None:
    """Unless priors are switched off; a text has a vector of the same length, and a new
    item the share of what is new.
    """
    arrays = viewed
    without = train(arrays, replace(settings, item_prior=False))
    trained = with_prior(without, arrays, SOME)
    store = ArtifactStore(tmp_path)
    name = publish(trained, arrays, snapshot_of(arrays), store, settings, NOW_MS)
    generation = open_generation(store.generation_path(name))

    refreshed = train(arrays, settings, warm=generation)
    off = train(arrays, replace(settings, item_prior=False), warm=generation)

    assert trained.prior is not None
    assert generation.prior_block == trained.prior == refreshed.prior
    assert generation.network_dim == settings.dim
    assert refreshed.dim == trained.dim == off.dim + 2 == without.dim + 2
    assert off.prior is without.prior is None
    assert not [figure for figure in off.evaluation if figure.startswith("prior")]
    encoder = generation.text_encoder()
    asked, item = encoder.encode("red mug"), encoder.encode_item("Red Mug")
    assert asked == pytest.approx(trained.text_encoder().encode("red mug"), abs=1e-6)
    assert trained.prior.shares_of(item[None]) == pytest.approx(SOME.new_share, abs=1e-5)
    sessions = [
        len(
            {
                *arrays.fact_session[arrays.fact_item == item].tolist(),
                *arrays.incidence_session[arrays.incidence_item == item].tolist(),
            }
        )
        for item in range(arrays.num_items)
    ]
    shares = trained.prior.shares_of(trained.item_vectors)
    assert shares[np.argmax(sessions)] == pytest.approx(1.0, abs=1e-5)
    rarest = int(np.argmin(sessions))
    least = max(0.1, (sessions[rarest] / max(sessions)) ** 0.5)
    assert shares[rarest] == pytest.approx(least, abs=1e-5)
