"""What is held out, and what is learned last."""

from dataclasses import replace

import numpy as np
import pytest

from model.data.parent import LearnedClicks
from model.data.training_set import TrainingSet, build_training_set
from model.settings import ModelSettings
from stream.dtypes import Bools, Int64s
from stream.events.types import CatalogItem
from stream.graph.arrays import GraphArrays
from testing.small_shop import MakeArrays, click, shop_events, shop_items


@pytest.fixture(scope="module")
def training_set(arrays: GraphArrays, settings: ModelSettings) -> TrainingSet:
    """Return the shop's."""
    return build_training_set(arrays, settings)


def pairs(query: Int64s, item: Int64s) -> set[tuple[int, int]]:
    """Return edges as a set."""
    return set(zip(query.tolist(), item.tolist(), strict=True))


def learned_without(arrays: GraphArrays, facts: Bools) -> LearnedClicks:
    """Return what a generation has learned that was made of all facts but some."""
    edge, session = arrays.edge_of_fact[~facts], arrays.fact_session[~facts]
    made_by = np.unique(np.stack([edge, session]), axis=1)[0]
    return LearnedClicks(
        sessions=np.bincount(made_by, minlength=len(arrays.edge_query)),
        until_ms=int(arrays.fact_ms[~facts].max()),
    )


def test_held_out_edges_are_the_newest_and_not_in_the_training_graph(
    training_set: TrainingSet, arrays: GraphArrays
) -> None:
    """Time alone decides."""
    held_out = pairs(training_set.validation_query, training_set.validation_item)
    train = pairs(training_set.train.edge_query, training_set.train.edge_item)

    assert held_out
    assert not held_out & train
    assert held_out | train == pairs(arrays.edge_query, arrays.edge_item)
    whole, newest = training_set.whole, training_set.newest
    assert held_out == pairs(whole.edge_query[newest], whole.edge_item[newest])
    first_ms = dict(
        zip(
            zip(arrays.edge_query.tolist(), arrays.edge_item.tolist(), strict=True),
            arrays.edge_first_ms.tolist(),
            strict=True,
        )
    )
    assert max(first_ms[edge] for edge in train) < min(first_ms[edge] for edge in held_out)


def test_what_a_generation_has_learned_is_not_held_out_again(
    arrays: GraphArrays, settings: ModelSettings
) -> None:
    """Training ends with each click since, however often its pair was
    clicked before.
    """
    since_ms = int(np.quantile(arrays.fact_ms, 0.95))
    after = arrays.fact_ms > since_ms
    assert len(np.unique(arrays.edge_of_fact[after])) < after.sum()

    data = build_training_set(arrays, settings, learned_without(arrays, after))

    clicked = list(
        zip(arrays.fact_query[after].tolist(), arrays.fact_item[after].tolist(), strict=True)
    )
    learned = zip(
        data.whole.edge_query[data.newest], data.whole.edge_item[data.newest], strict=True
    )
    assert sorted(learned) == sorted(clicked)
    assert not data.recent.any()
    unknown = int((arrays.edge_first_ms > since_ms).sum())
    assert len(data.validation_first_ms) == (unknown if unknown >= 20 else 0)
    assert len(data.train.edge_query) == (arrays.edge_first_ms <= since_ms).sum()


def test_what_comes_late_is_held_out_and_learned_as_what_is_new(
    arrays: GraphArrays, settings: ModelSettings
) -> None:
    """Clicks out of the middle of the log, and the sessions that made edges of them."""
    late = np.zeros(len(arrays.fact_ms), dtype=bool)
    late[np.argsort(arrays.fact_ms)[300:350]] = True
    learned = learned_without(arrays, late)
    new = learned.sessions == 0
    assert new.sum() >= 20
    assert arrays.edge_first_ms[new].max() < learned.until_ms

    data = build_training_set(arrays, settings, learned)

    assert sorted(data.newest) == sorted(arrays.edge_of_fact[late])
    assert not data.recent.any()
    assert np.array_equal(data.validation_query, arrays.edge_query[new])
    assert len(data.train.edge_query) == (~new).sum()
    made = np.unique(arrays.fact_session[new[arrays.edge_of_fact]])
    assert (
        data.whole.num_hyperedges - data.train.num_hyperedges
        == np.isin(made, arrays.incidence_session).sum()
    )


def test_of_many_that_are_new_the_newest_are_held_out_and_all_are_learned_last(
    arrays: GraphArrays, settings: ModelSettings
) -> None:
    """A busy shop's refresh has no more passes over older edges than a quiet one's."""
    after = arrays.fact_ms > np.quantile(arrays.fact_ms, 0.93)
    learned = learned_without(arrays, after)
    first_ms = np.sort(arrays.edge_first_ms[learned.sessions == 0])
    assert len(first_ms) > 25

    data = build_training_set(arrays, replace(settings, max_validation_edges=25), learned)

    assert sorted(data.validation_first_ms) == first_ms[-25:].tolist()
    assert len(data.train.edge_query) == len(arrays.edge_query) - 25
    assert not data.recent.any()
    assert sorted(data.newest) == sorted(arrays.edge_of_fact[after])


def test_what_is_learned_though_it_is_after_the_watermark_is_not_new(
    arrays: GraphArrays, settings: ModelSettings
) -> None:
    """Partitions are not equally far; the watermark is that of the last."""
    everything = learned_without(arrays, np.zeros(len(arrays.fact_ms), dtype=bool))

    data = build_training_set(
        arrays, settings, replace(everything, until_ms=int(arrays.fact_ms.min()))
    )

    assert not len(data.newest)
    assert not len(data.validation_query)
    assert not data.recent.any()


def test_sessions_of_the_held_out_time_are_not_in_the_training_graph(
    training_set: TrainingSet, arrays: GraphArrays
) -> None:
    """A hyperedge must not carry what is to be predicted."""
    cut_ms = training_set.validation_first_ms.min()
    old = np.zeros(arrays.num_sessions, dtype=bool)
    old[arrays.incidence_session] = True
    old &= arrays.session_last_ms < cut_ms

    assert training_set.train.num_hyperedges == old.sum()
    assert training_set.whole.num_hyperedges > training_set.train.num_hyperedges


def test_at_most_so_many_edges_are_held_out(arrays: GraphArrays, settings: ModelSettings) -> None:
    """A large log does not waste a tenth of what it knows."""
    bounded = build_training_set(arrays, replace(settings, max_validation_edges=25))

    assert len(bounded.validation_query) == 25


def test_nothing_is_held_out_where_everything_happened_at_once(
    make_arrays: MakeArrays, settings: ModelSettings
) -> None:
    """Some logs know only the month."""
    at_once = make_arrays([click(0, f"s{n}", f"q{n}", f"i{n}") for n in range(40)])

    data = build_training_set(at_once, settings)

    assert len(data.validation_query) == 0
    assert len(data.train.edge_query) == 40


def test_a_later_future_changes_nothing_in_the_training_graph(
    make_arrays: MakeArrays, settings: ModelSettings
) -> None:
    """Whatever happens in the held-out time, what is trained on stays the same."""
    past = shop_events(100)
    sides = []
    for seed in (1, 2):
        future = [
            replace(event, ts_ms=event.ts_ms + 10**9, session_id=f"future-{event.session_id}")
            for event in shop_events(11, seed=seed)
        ]
        arrays = make_arrays(past + future, shop_items())
        data = build_training_set(arrays, replace(settings, validation_share=0.1))
        text = [*arrays.query_texts, *arrays.item_ids]
        items = [text[arrays.num_queries + item] for item in data.train.edge_item]
        sides.append(
            {(text[q], item) for q, item in zip(data.train.edge_query, items, strict=True)}
        )

    assert sides[0] == sides[1]


@pytest.mark.parametrize(("asked_new", "is_ranked"), [(0, True), (30, False)])
def test_the_catalogue_is_ranked_where_items_without_clicks_are_rarely_asked_for(
    make_arrays: MakeArrays, settings: ModelSettings, asked_new: int, *, is_ranked: bool
) -> None:
    """Of a shop where most items have none; the newest clicks say what is asked for."""
    items = [CatalogItem(item_id=f"i-{number}", title=f"Title {number}") for number in range(200)]
    old = [click(each, f"s-{each}", f"q{each % 40}", f"i-{each % 20}") for each in range(300)]
    new = [
        click(
            400 + each,
            f"t-{each}",
            f"n{each}",
            f"i-{100 + each if each < asked_new else each % 20}",
        )
        for each in range(40)
    ]

    data = build_training_set(make_arrays([*old, *new], items), settings)

    assert len(data.validation_item)
    assert data.ranks_catalogue == is_ranked


def test_without_held_out_edges_the_catalogue_is_not_ranked(
    make_arrays: MakeArrays, settings: ModelSettings
) -> None:
    """Nothing says what is asked for."""
    arrays = make_arrays([click(each, f"s-{each}", "mug", "mug-red") for each in range(5)])

    assert not build_training_set(arrays, settings).ranks_catalogue


@pytest.mark.parametrize(
    ("query", "title", "is_asked"),
    [
        ("red mug", "Mug, red", True),
        ("red", "Mug &amp; Co", False),
        ("shoegaze", "Slowdive", False),
        ("mug", "", False),
    ],
)
def test_whether_queries_have_words_of_titles(
    make_arrays: MakeArrays, settings: ModelSettings, query: str, title: str, *, is_asked: bool
) -> None:
    """By the edges: what nobody clicked says nothing."""
    items = [CatalogItem(item_id=f"i-{number}", title=title) for number in range(30)]
    other = CatalogItem(item_id="other", title=f"{query} other")
    clicks = [click(each, f"s-{each}", query, f"i-{each}") for each in range(30)]

    data = build_training_set(make_arrays(clicks, [*items, other]), settings)

    assert data.asks_in_words_of_titles == is_asked


def test_a_tenth_of_the_edges_is_enough(make_arrays: MakeArrays, settings: ModelSettings) -> None:
    """Whatever the title of the others."""
    items = [
        CatalogItem(item_id=f"i-{number}", title="mug" if number % 10 == 0 else f"Z{number}")
        for number in range(40)
    ]
    clicks = [click(each, f"s-{each}", "mug", f"i-{each}") for each in range(40)]

    assert build_training_set(make_arrays(clicks, items), settings).asks_in_words_of_titles
    assert not build_training_set(
        make_arrays(clicks[1:], items[1:]), settings
    ).asks_in_words_of_titles
