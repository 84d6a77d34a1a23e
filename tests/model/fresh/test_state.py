"""The fresh lane against a full pass of torch's network with the same weights."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random

import numpy as np
import pytest

from model.artifact.encoder import unit_rows
from model.artifact.generation import Generation, open_generation
from model.artifact.store import ArtifactStore
from model.beside.item_prior import Prior
from model.beside.session_walk import WalkScales
from model.errors import GateRefused
from model.fresh.active.nodes import Nodes
from model.fresh.directory import Directory
from model.fresh.limits import RoundLimits
from model.fresh.result import RoundResult
from model.fresh.state import FreshState
from model.publishing.publish import publish
from model.settings import ModelSettings
from model.training.beside.item_prior import with_prior
from model.training.beside.session_walk import with_walk_scales
from model.training.beside.title_words import with_words_weight
from model.training.train import train
from protos.text import text_features, text_key, text_keys
from stream.dtypes import Float32s
from stream.events.types import CatalogItem, Interaction
from stream.graph.arrays import GraphArrays
from stream.kafka.partitioner import shard_of
from testing.fresh_rounds import changes_between, full_pass, network_pass
from testing.small_shop import (
    NOW_MS,
    MakeArrays,
    click,
    shop_events,
    shop_items,
    small_settings,
    snapshot_of,
)

SETTINGS = replace(small_settings(), max_passes=2, newest_passes=2)
WALKS = WalkScales(query=1.0, new_query=0.5, item=0.3, new_item=0.6)
PRIOR = Prior(weight=0.3, known_share=0.0, new_share=0.4)
UNBOUND = RoundLimits(
    max_round_nodes=1 << 30, max_neighbours=1 << 30, least_movement=0.0, longest_row=1 << 30
)

Publish = Callable[..., Generation]


@pytest.fixture(scope="module")
def publish_graph(tmp_path_factory: pytest.TempPathFactory) -> Publish:
    """Return a function that trains on a graph and opens the generation, with walks
    through sessions in its vectors if there are scales, words of titles if there is a
    weight, and a prior if there is one.
    """

    def published(
        arrays: GraphArrays,
        settings: ModelSettings = SETTINGS,
        scales: WalkScales | None = None,
        words: float = 0.0,
        prior: Prior | None = None,
    ) -> Generation:
        store = ArtifactStore(tmp_path_factory.mktemp("artifacts"))
        trained = train(arrays, settings)
        trained = with_words_weight(trained, arrays, settings, words)
        if scales is not None:
            trained = with_walk_scales(trained, arrays, settings, scales)
        if prior is not None:
            trained = with_prior(trained, arrays, prior)
        try:
            name = publish(trained, arrays, snapshot_of(arrays), store, settings, NOW_MS)
        except GateRefused as refused:
            name = refused.generation_id
        return open_generation(store.generation_path(name))

    return published


@dataclass
class Shop:
    """Events so far, a generation of some of them, and the state that follows."""

    generation: Generation
    state: FreshState
    make_arrays: MakeArrays
    events: list[Interaction]
    items: list[CatalogItem]
    results: list[RoundResult] = field(default_factory=list)
    before: GraphArrays = field(init=False)

    def __post_init__(self) -> None:
        self.before = self.make_arrays(self.events, self.items)

    def round(
        self,
        events: Sequence[Interaction] = (),
        catalog: Sequence[CatalogItem] = (),
        asked: Mapping[str, float] | None = None,
    ) -> RoundResult:
        """Add events and catalogue states in one round."""
        return self.becomes([*self.events, *events], catalog, asked)

    def becomes(
        self,
        events: Sequence[Interaction],
        catalog: Sequence[CatalogItem] = (),
        asked: Mapping[str, float] | None = None,
    ) -> RoundResult:
        """Change the events to others in one round."""
        states = {item.item_id: item for item in [*self.items, *catalog]}
        self.items = list(states.values())
        changes = changes_between(
            self.events,
            events,
            catalog,
            gone_queries=sorted(_queries(self.events) - _queries(events)),
            gone_items=sorted(_items(self.events) - _items(events) - states.keys()),
        )
        self.events = list(events)
        self.results.append(self.state.apply([changes], asked))
        return self.results[-1]

    def worst(self, result: RoundResult) -> float:
        """Return the worst cosine of a round's vectors with those of a full pass."""
        queries, items = self.full_pass()
        cosines = [
            float(vector @ vectors[name])
            for vectors, names, rows in (
                (queries, result.query_texts, result.query_vectors),
                (items, result.item_ids, result.item_vectors),
            )
            for name, vector in zip(names, rows, strict=True)
        ]
        assert cosines
        return min(cosines)

    def full_pass(self) -> tuple[dict[str, Float32s], dict[str, Float32s]]:
        """Return the vectors of all queries and items over the graph as it is now."""
        arrays = self.make_arrays(self.events, self.items)
        return full_pass(self.generation, arrays, SETTINGS, self.before)


@pytest.fixture(scope="module")
def shop_generation(publish_graph: Publish, make_arrays: MakeArrays) -> Generation:
    """Return a generation of 150 sessions of the small shop."""
    return publish_graph(make_arrays(shop_events(150), shop_items()))


@pytest.fixture
def open_shop(
    shop_generation: Generation, make_arrays: MakeArrays
) -> Callable[[RoundLimits], Shop]:
    """Return a function that starts from the generation within limits."""

    def opened(limits: RoundLimits) -> Shop:
        state = FreshState(shop_generation, limits=limits)
        return Shop(shop_generation, state, make_arrays, shop_events(150), shop_items())

    return opened


def _queries(events: Sequence[Interaction]) -> set[str]:
    return {event.query for event in events if event.query}


def _items(events: Sequence[Interaction]) -> set[str]:
    return {event.item_id for event in events}


OpenShop = Callable[[RoundLimits], Shop]


def drawn_events(random: Random, count: int) -> list[Interaction]:
    """Return clicks of sessions, queries and items that are new or known."""
    events = []
    for number in range(count):
        event = random.choice(shop_events(300, seed=7))
        if random.random() < 0.5:
            event = replace(event, session_id=f"new-{random.randint(0, 4)}")
        if random.random() < 0.3:
            event = replace(event, query=f"never asked {random.randint(0, 4)}")
        if random.random() < 0.3:
            event = replace(event, item_id=f"launch-{random.randint(0, 3)}")
        events.append(replace(event, ts_ms=event.ts_ms + number))
    return events


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("limits", [UNBOUND, RoundLimits()], ids=["unbound", "default"])
def test_rounds_give_what_a_full_pass_gives(
    open_shop: OpenShop, limits: RoundLimits, seed: int
) -> None:
    """New clicks, queries, items and sessions, sessions that grow, texts that change
    and come late, and events that are erased, over several rounds.
    """
    shop, random = open_shop(limits), Random(seed)
    for number in range(4):
        events = drawn_events(random, 15)
        kept = list(shop.events)
        if number % 2:
            random.shuffle(kept)
            kept = kept[10:]
        catalog = [
            replace(random.choice(shop_items()), title=f"Renamed {number}", ts_ms=number + 1),
            CatalogItem(item_id=f"launch-{number}", title=f"Novel Gadget {number}"),
        ]

        edges = changes_between(shop.events, [*kept, *events]).edges
        result = shop.becomes([*kept, *events], catalog)

        queries, items = text_keys(result.query_texts), text_keys(result.item_ids)
        assert set(edges.query.tolist()) <= {*queries, *result.gone_queries.tolist()}
        assert set(edges.item.tolist()) <= {*items, *text_keys(result.gone_items)}
        assert {item.item_id for item in catalog} <= set(result.item_ids)
        assert shop.worst(result) > (0.99999 if limits is UNBOUND else 0.999)
        assert shop.state.audit(100) > 0.999


def test_the_catalogue_goes_ahead_of_clicks(open_shop: OpenShop) -> None:
    """What it lists and hides is published alone, and neighbours hear of it in the next
    round: then all is as if it had come in one.
    """
    apart, together = open_shop(UNBOUND), open_shop(UNBOUND)
    known, gone = shop_items()[0], shop_items()[1]
    catalog = [
        replace(known, title="Novel Gadget of another kind", ts_ms=1),
        replace(gone, deleted=True, ts_ms=1),
        CatalogItem(item_id="launch-1", title="Novel Gadget"),
    ]
    events = [replace(each, item_id="launch-1") for each in drawn_events(Random(3), 5)]

    ahead = apart.state.apply_catalog([changes_between([], [], catalog)])
    later = apart.round(events)
    at_once = together.round(events, catalog)

    assert set(ahead.item_ids) == {known.item_id, "launch-1"}
    assert ahead.gone_items == (gone.item_id,)
    assert not ahead.query_texts
    assert set(at_once.query_texts) <= set(later.query_texts)
    for result in (later, at_once):
        vectors = dict(zip(result.item_ids, result.item_vectors, strict=True))
        assert float(vectors["launch-1"] @ at_once_vector(at_once, "launch-1")) > 0.99999
    for text, vector in zip(later.query_texts, later.query_vectors, strict=True):
        if text in at_once.query_texts:
            row = at_once.query_texts.index(text)
            assert float(vector @ at_once.query_vectors[row]) > 0.9999


def test_what_is_taken_out_between_two_steps_is_not_in_the_result(open_shop: OpenShop) -> None:
    """Whichever step it was, though the round names it; and once it is listed again all
    is as if it had never been gone, a title that changed meanwhile too.
    """
    gone = shop_items()[1]
    state = replace(gone, title="Novel Gadget", available=False, ts_ms=1)
    clicks = [replace(each, item_id=gone.item_id) for each in drawn_events(Random(3), 5)]
    num_pauses, opened = 0, list[bool]()

    def count(*, is_open: bool) -> None:
        nonlocal num_pauses
        num_pauses += 1
        opened.append(is_open)

    whole = open_shop(UNBOUND)
    changes = changes_between(whole.events, [*whole.events, *clicks])
    named = whole.state.apply([changes], pause=count)
    whole.state.apply([changes_between([], [], [replace(state, available=True, ts_ms=2)])])
    out: list[RoundResult] = []
    states: list[FreshState] = []
    # In an open pause states are applied; otherwise, and there too, what is gone goes.
    ways = [(step, False) for step in range(num_pauses)]
    ways += [(step, True) for step in np.flatnonzero(opened).tolist()]
    for step, applies in ways:
        state_of, left = open_shop(UNBOUND).state, iter(range(step, -num_pauses, -1))
        act = state_of.apply_catalog if applies else state_of.take_out

        def pause(
            *,
            is_open: bool,
            act: Callable[..., RoundResult] = act,
            left: Iterator[int] = left,
        ) -> None:
            del is_open
            if next(left) == 0:
                out.append(act([changes_between([], [], [state])]))

        result = state_of.apply([changes], pause=pause)
        assert gone.item_id not in result.item_ids
        states.append(state_of)
    back = [
        each.apply([changes_between([], [], [replace(state, available=True, ts_ms=2)])])
        for each in states
    ]

    assert gone.item_id in named.item_ids
    assert (opened.count(True), opened.count(False)) == (4, 3)
    assert [each.gone_items for each in out] == [(gone.item_id,)] * len(ways)
    assert all(gone.item_id in each.item_ids for each in back)
    expected = vectors_by_row(whole.state)
    for each in states:
        found = vectors_by_row(each)
        assert found.keys() == expected.keys()
        assert min(float(found[row] @ expected[row]) for row in found) > 0.9999


def vectors_by_row(state: FreshState) -> dict[int, Float32s]:
    """Return the network's vectors of active nodes of the generation."""
    nodes = state._graph.nodes
    rows = nodes.columns.row[: nodes.count].tolist()
    vectors = nodes.columns.vector[: nodes.count]
    return {row: vector for row, vector in zip(rows, vectors, strict=True) if row >= 0}


def at_once_vector(result: RoundResult, item_id: str) -> Float32s:
    """Return the vector of an item of a round."""
    vector: Float32s = result.item_vectors[result.item_ids.index(item_id)]
    return vector


def test_without_bounds_every_vector_is_that_of_a_full_pass(open_shop: OpenShop) -> None:
    """Also of who is not published, because it does not move."""
    shop = open_shop(UNBOUND)
    for number in range(3):
        shop.round(drawn_events(Random(number), 20))
    queries, items = shop.full_pass()
    found_queries = dict(
        zip(shop.generation.query_texts, shop.generation.query_vectors, strict=True)
    )
    found_items = dict(zip(shop.generation.item_ids, shop.generation.item_vectors, strict=True))
    before = min(float(found_queries[text] @ queries[text]) for text in found_queries)
    for result in shop.results:
        found_queries |= dict(zip(result.query_texts, result.query_vectors, strict=True))
        found_items |= dict(zip(result.item_ids, result.item_vectors, strict=True))

    assert before < 0.99
    assert min(float(found_queries[text] @ queries[text]) for text in queries) > 0.9999
    assert min(float(found_items[item] @ items[item]) for item in items) > 0.9999
    assert queries.keys() == found_queries.keys()
    assert items.keys() == found_items.keys()


@pytest.fixture(scope="module")
def walking_generation(publish_graph: Publish, make_arrays: MakeArrays) -> Generation:
    """Return a generation of the same sessions whose vectors have walks through them,
    and priors of items.
    """
    settings = replace(SETTINGS, walk_dim=9)
    arrays = make_arrays(shop_events(150), shop_items())
    return publish_graph(arrays, settings, WALKS, prior=PRIOR)


def test_nodes_are_as_sensitive_as_their_generation_says(open_shop: OpenShop) -> None:
    """What is noted when a vector is computed is what publishing stores of it, so that
    new nodes, too, are computed again when they have moved, and not before.
    """
    shop = open_shop(UNBOUND)
    graph, fresh = shop.state._graph, shop.generation.fresh
    assert fresh is not None
    rows = np.arange(len(fresh.sensitivity))
    slots = graph.activate(rows)
    stored = graph.nodes.columns.sensitivity[slots].copy()

    graph.nodes.compute(slots)

    np.testing.assert_allclose(graph.nodes.columns.sensitivity[slots], stored, rtol=0.02)
    assert stored.max() > 0.0


@pytest.mark.parametrize("seed", range(3))
def test_walks_lead_where_a_full_pass_leads_them(
    walking_generation: Generation, make_arrays: MakeArrays, seed: int
) -> None:
    """A query by what is clicked for it now, an item that is new in sessions by what it
    is seen with, any other as the generation has it.
    """
    block = walking_generation.walk_block
    state = FreshState(walking_generation, limits=UNBOUND)
    shop = Shop(walking_generation, state, make_arrays, shop_events(150), shop_items())
    random = Random(seed)
    for number in range(4):
        kept = list(shop.events)
        if number % 2:
            random.shuffle(kept)
            kept = kept[10:]

        result = shop.becomes([*kept, *drawn_events(random, 15)])

        assert shop.worst(result) > 0.99999

    assert block is not None
    assert result.item_vectors.shape[1] == walking_generation.manifest.dim
    launched = {
        item_id: vector
        for each in shop.results
        for item_id, vector in zip(each.item_ids, each.item_vectors, strict=True)
        if item_id.startswith("launch-")
    }
    end = walking_generation.dim_before_prior
    assert any(block.directions_of(vector[None, :end]).any() for vector in launched.values())


@pytest.fixture(scope="module")
def worded_generation(publish_graph: Publish, make_arrays: MakeArrays) -> Generation:
    """Return a generation of the same sessions whose vectors have words of titles, and
    no walks.
    """
    settings = replace(SETTINGS, words_dim=9, walk_dim=0)
    return publish_graph(make_arrays(shop_events(150), shop_items()), settings, words=0.3)


def test_words_of_titles_are_those_of_a_full_pass(
    worded_generation: Generation, make_arrays: MakeArrays
) -> None:
    """Of what the generation has and of what is new; of a new title once it has
    come, whatever else the catalogue says of the item.
    """
    block = worded_generation.word_block
    state = FreshState(worded_generation, limits=UNBOUND)
    shop = Shop(worded_generation, state, make_arrays, shop_events(150), shop_items())
    known = shop.items[0]
    renamed = replace(known, title="Tall Red Mug", text="of a long description", ts_ms=9)
    titled = CatalogItem(item_id="launch", title="Tall Red Mug", text="which nobody knows")

    clicked = shop.round(
        [click(1, "new", "red mug", shop.items[1].item_id), click(2, "new", "mug", "launch")],
        [renamed, titled],
    )

    assert block is not None
    assert shop.worst(clicked) > 0.99999
    items = dict(zip(clicked.item_ids, clicked.item_vectors, strict=True))
    words = block.directions(["Tall Red Mug"])[0]
    for item_id in (known.item_id, "launch"):
        stored = items[item_id][-9:-1]
        assert stored / np.linalg.norm(stored) == pytest.approx(words, abs=1e-5)


def test_priors_stay_until_the_next_generation(
    walking_generation: Generation, make_arrays: MakeArrays
) -> None:
    """A click changes none, and what is new has the share of what is new."""
    prior = walking_generation.prior_block
    assert prior is not None
    state = FreshState(walking_generation, limits=UNBOUND)
    shop = Shop(walking_generation, state, make_arrays, shop_events(150), shop_items())
    known = shop.events[0].item_id

    result = shop.round([click(1, "new", "red mug", known), click(2, "new", "red mug", "launch")])

    shares = dict(zip(result.item_ids, prior.shares_of(result.item_vectors), strict=True))
    row = walking_generation.find_item(known)
    stored = prior.shares_of(walking_generation.item_vectors)
    assert stored.max() == pytest.approx(1.0, abs=1e-5)
    assert shares[known] == pytest.approx(stored[row], abs=1e-5)
    assert shares["launch"] == pytest.approx(PRIOR.new_share, abs=1e-5)


def test_a_click_moves_where_walks_lead(
    walking_generation: Generation, make_arrays: MakeArrays
) -> None:
    """What no session has seen leads nowhere, and who asks for that where words say."""
    block = walking_generation.walk_block
    assert block is not None
    manifest = type(walking_generation.manifest)()
    manifest.CopyFrom(walking_generation.manifest)
    # New clicks move the vector as a whole besides.
    manifest.feedback_weight, manifest.first_page_cosine = 0.0, 0.0
    generation = replace(walking_generation, manifest=manifest)
    shop = Shop(generation, FreshState(generation), make_arrays, shop_events(150), shop_items())
    clicked = shop.events[0].item_id

    result = shop.round(
        [
            click(1, "new", "asked for the first time", clicked),
            click(2, "newer", "asked by its words", "alone"),
        ],
        [CatalogItem(item_id="alone", title="Never Seen")],
    )

    end = generation.dim_before_prior
    before_prior = unit_rows(result.query_vectors[:, :end]), unit_rows(result.item_vectors[:, :end])
    queries = dict(zip(result.query_texts, before_prior[0], strict=True))
    items = dict(zip(result.item_ids, before_prior[1], strict=True))
    direction = block.directions_of(queries["asked for the first time"][None])
    assert np.allclose(direction, block.directions_of(items[clicked][None]), atol=1e-6)
    assert not block.directions_of(items["alone"][None]).any()
    by_words = queries["asked by its words"][None]
    assert by_words == pytest.approx(
        block.without_sessions(unit_rows(by_words[:, : -block.dim]), is_item=False), abs=1e-5
    )
    assert block.directions_of(by_words).any()


def test_what_was_clicked_and_seen_since_the_generation_is_named(
    shop_generation: Generation, make_arrays: MakeArrays
) -> None:
    """By query, most sessions first, whether the generation had the click or not; an
    item has the number of its sessions with others.
    """
    state = FreshState(shop_generation)
    shop = Shop(shop_generation, state, make_arrays, shop_events(150), shop_items())
    known = shop.events[0]
    assert known.query is not None
    shop.round([click(1, "n1", known.query, known.item_id)])

    result = shop.round(
        [
            click(2, "n2", known.query, "new item"),
            click(3, "n3", known.query, "new item"),
            click(4, "n4", "new query", "new item"),
            click(5, "n4", "other query", known.item_id),
        ],
        [CatalogItem(item_id="new item", title="New")],
    )

    clicks = dict(zip(result.query_texts, result.query_clicks, strict=True))
    sessions = dict(zip(result.item_ids, result.item_sessions.tolist(), strict=True))
    assert json.loads(clicks["new query"]) == {"new item": 1}
    assert list(json.loads(clicks[known.query]).items()) == [("new item", 2), (known.item_id, 1)]
    assert sessions["new item"] == sessions[known.item_id] == 1


def test_a_click_on_a_hub_moves_a_bounded_number(
    publish_graph: Publish, make_arrays: MakeArrays
) -> None:
    """An item with 300 queries: the click's own query and item, and few others."""
    events = [
        click(number * 60_000, f"s{number}", f"query {number}", "hub") for number in range(300)
    ]
    events += [
        click(number, f"t{number}", f"query {number}", f"item {number % 9}") for number in range(40)
    ]
    generation = publish_graph(make_arrays(events))
    limits = RoundLimits(max_round_nodes=20, max_neighbours=5, longest_row=50, least_movement=0.0)
    shop = Shop(generation, FreshState(generation, limits=limits), make_arrays, events, [])

    result = shop.round([click(1, "new", "query 7", "hub")])

    assert "query 7" in result.query_texts
    assert "hub" in result.item_ids
    # The two, what the hub reaches, what those reach in turn: each five at most.
    assert result.recomputed <= 2 + limits.max_round_nodes
    assert shop.worst(result) > 0.999


def test_what_does_not_fit_a_round_is_done_later_most_asked_first(
    publish_graph: Publish, make_arrays: MakeArrays
) -> None:
    """A popular item gets a new text: its queries move, a few in each round."""
    items = [CatalogItem(item_id="lamp", title="Old Lamp")]
    events = [
        click(number * 60_000, f"s{number}", f"query {number}", "lamp") for number in range(40)
    ]
    events += [
        click(number, f"t{number}", f"other {number}", f"item {number % 9}") for number in range(40)
    ]
    generation = publish_graph(make_arrays(events, items))
    limits = RoundLimits(max_round_nodes=6, max_neighbours=100, least_movement=1e-4)
    shop = Shop(generation, FreshState(generation, limits=limits), make_arrays, events, items)
    asked = {"query 33": 9.0, "query 4": 2.0, "never heard of": 5.0}

    first = shop.round(
        catalog=[CatalogItem(item_id="lamp", title="Bicycle Pump", ts_ms=1)], asked=asked
    )
    later = [shop.round(asked=asked) for _ in range(20)]

    assert first.item_ids == ("lamp",)
    assert {"query 33", "query 4"} <= set(first.query_texts)
    assert first.carried >= 34
    assert first.withheld > limits.least_movement
    assert len(first.query_texts) <= 6
    assert all(len(result.query_texts) <= 6 for result in later)
    moved = {text for result in [first, *later] for text in result.query_texts}
    assert {f"query {number}" for number in range(40)} <= moved
    assert later[-1].carried == 0
    assert all(shop.worst(result) > 0.999 for result in later if result.query_texts)


def test_a_vector_that_is_not_finite_is_left_out_and_named(
    shop_generation: Generation, make_arrays: MakeArrays, caplog: pytest.LogCaptureFixture
) -> None:
    """And spoils no other: the item of a poisoned query moves as if it were alone."""
    fresh = shop_generation.fresh
    assert fresh is not None
    poisoned = np.array(fresh.own)
    row = shop_generation.find_query("red mug")
    assert row is not None
    poisoned[row] = np.nan
    generation = replace(shop_generation, fresh=replace(fresh, own=poisoned))
    shop = Shop(generation, FreshState(generation), make_arrays, shop_events(150), shop_items())

    result = shop.round(
        [click(1, "new", "red mug", "mug-red"), click(2, "new", "blue lamp", "lamp-blue")]
    )

    assert result.poisoned == 1
    assert "red mug" not in result.query_texts
    assert {"mug-red", "lamp-blue"} <= set(result.item_ids)
    assert np.isfinite(result.item_vectors).all()
    assert np.isfinite(result.query_vectors).all()
    assert "node='red mug'" in caplog.text
    caplog.clear()
    again = shop.round([click(3, "other", "red mug", "mug-blue")])
    assert again.poisoned == 1
    assert not caplog.text


def test_nothing_changed_costs_nothing(open_shop: OpenShop) -> None:
    """A round without changes is empty, and so is one that repeats what is known."""
    shop = open_shop(RoundLimits())
    shop.round(drawn_events(Random(5), 20))
    while shop.round().recomputed:
        pass

    result = shop.state.apply([])

    assert not result.query_texts
    assert not result.item_ids
    assert result.recomputed == 0
    assert shop.round(shop.events[:5]).recomputed == 0


def test_rows_that_are_read_depend_on_what_changed(
    publish_graph: Publish, make_arrays: MakeArrays
) -> None:
    """The same clicks in a graph eight times as large touch as many nodes."""
    touched = []
    for copies in (1, 8):
        events = [
            replace(
                event,
                session_id=f"{copy}-{event.session_id}",
                query=f"{event.query} c{copy}",
                item_id=f"{event.item_id} c{copy}",
            )
            for copy in range(copies)
            for event in shop_events(60)
        ]
        generation = publish_graph(make_arrays(events), replace(SETTINGS, max_passes=1))
        shop = Shop(generation, FreshState(generation), make_arrays, events, [])
        shop.round([replace(event, session_id=f"new {event.session_id}") for event in events[:10]])
        touched.append(shop.results[0].recomputed)

    assert touched[0] > 10
    assert touched[1] <= 1.5 * touched[0]


def test_catalogue_states_list_and_hide_items(open_shop: OpenShop) -> None:
    """The newest counts; what changes nothing is not published again."""
    shop = open_shop(RoundLimits())
    mug, lamp = shop_items()[0], shop_items()[7]

    same = shop.round(catalog=[mug])
    gone = shop.round(
        catalog=[replace(mug, deleted=True, ts_ms=50), replace(lamp, available=False, ts_ms=50)]
    )
    clicked = shop.round([click(1, "new", "red mug", mug.item_id)])
    older = shop.round(catalog=[replace(mug, ts_ms=40, title="Late")])
    back = shop.round(catalog=[replace(mug, ts_ms=60, attributes={"colour": "red"})])
    renamed = shop.round(catalog=[replace(mug, ts_ms=70, title="Teapot", text="of clay")])

    assert same.item_ids == ()
    assert dict(zip(gone.gone_items, gone.gone_item_ms.tolist(), strict=True)) == {
        mug.item_id: 50,
        lamp.item_id: 50,
    }
    assert mug.item_id not in clicked.item_ids
    assert older.item_ids == ()
    assert older.gone_items == ()
    assert back.item_ids == (mug.item_id,)
    assert back.item_attributes == ('{"colour": "red"}',)
    assert back.item_shown.tolist() == [True]
    place = renamed.item_ids.index(mug.item_id)
    assert renamed.item_titles[place] == "Teapot"
    assert renamed.item_catalog_ms[place] == 70
    assert shop.state.num_items >= 1


def test_a_segment_says_what_filters_may_ask_of_items_that_the_catalogue_told_of(
    publish_graph: Publish, make_arrays: MakeArrays
) -> None:
    """Of others it says that the generation knows; a value that is taken away is news,
    one that nobody can ask for is none.
    """
    mug, lamp, *rest = shop_items()
    red = {"colour": "red", "text": "x" * 300}
    items = [replace(mug, attributes=red), lamp, *rest]
    generation = publish_graph(make_arrays(shop_events(150), items))
    shop = Shop(generation, FreshState(generation), make_arrays, shop_events(150), items)
    assert generation.attributes is not None
    place = generation.find_item(mug.item_id)
    assert place is not None
    assert generation.attributes.attributes_of(place) == {"colour": "red"}

    clicked = shop.round([click(1, "new", "red mug", mug.item_id)])
    same = shop.round(catalog=[replace(mug, attributes={"colour": "red"}, ts_ms=50)])
    bare = shop.round(catalog=[replace(mug, attributes={}, ts_ms=60)])
    again = shop.round([click(2, "newer", "red mug", mug.item_id)])

    assert clicked.item_attributes[clicked.item_ids.index(mug.item_id)] == ""
    assert mug.item_id not in same.item_ids
    assert (bare.item_ids, bare.item_attributes) == ((mug.item_id,), ("{}",))
    assert again.item_attributes[again.item_ids.index(mug.item_id)] == "{}"


def test_a_click_on_what_was_deleted_before_the_generation_does_not_list_it(
    publish_graph: Publish, make_arrays: MakeArrays
) -> None:
    """Shoppers still reach its page; only the catalogue lists it again."""
    deleted = CatalogItem(item_id="old kettle", deleted=True, ts_ms=50)
    items = [*shop_items(), deleted]
    generation = publish_graph(make_arrays(shop_events(150), items))
    shop = Shop(generation, FreshState(generation), make_arrays, shop_events(150), items)

    clicked = shop.round([click(1, "a", "kettle", "old kettle")])
    unknown = shop.round([click(2, "b", "pump", "never listed")])
    older = shop.round(catalog=[CatalogItem(item_id="old kettle", title="Kettle", ts_ms=40)])
    back = shop.round(catalog=[CatalogItem(item_id="old kettle", title="Kettle", ts_ms=60)])

    assert generation.find_item("old kettle") is None
    assert "old kettle" not in clicked.item_ids
    assert "never listed" in unknown.item_ids
    assert "old kettle" not in older.item_ids
    assert back.item_titles[back.item_ids.index("old kettle")] == "Kettle"


def test_of_two_shards_states_the_one_that_has_a_time_counts(open_shop: OpenShop) -> None:
    """Whichever comes later; a deletion without one is as of the millisecond before
    what it found, which the store that found it says.
    """
    shop = open_shop(RoundLimits())
    timed = CatalogItem(item_id="mug-red", title="Red Teapot", ts_ms=50)

    shop.round(catalog=[timed])
    without = shop.round(catalog=[replace(timed, title="Old Name", ts_ms=0)])
    elsewhere = shop.round(catalog=[replace(timed, deleted=True, ts_ms=0)])
    deleted = shop.round(catalog=[replace(timed, deleted=True, ts_ms=49)])
    again = shop.round(catalog=[timed])

    assert not without.item_ids
    assert not elsewhere.gone_items
    assert deleted.gone_items == ("mug-red",)
    assert again.item_titles == ("Red Teapot",)


def test_a_new_item_has_its_text_and_then_its_clicks(open_shop: OpenShop) -> None:
    """Whichever comes first, title or click."""
    shop = open_shop(RoundLimits())
    text = shop.generation.text_encoder()

    listed = shop.round(catalog=[CatalogItem(item_id="new", title="Glass Teapot")])
    clicked = shop.round([click(1, "a", "teapot", "new")])
    nameless = shop.round([click(2, "b", "pump", "nameless")])
    named = shop.round(catalog=[CatalogItem(item_id="nameless", title="Bicycle Pump")])

    np.testing.assert_allclose(listed.item_vectors[0], text.encode_item("Glass Teapot"), atol=1e-5)
    assert set(clicked.item_ids) >= {"new"}
    assert set(clicked.query_texts) >= {"teapot"}
    query = clicked.query_vectors[clicked.query_texts.index("teapot")]
    item = clicked.item_vectors[clicked.item_ids.index("new")]
    assert query @ item > text.encode("teapot") @ text.encode_item("Glass Teapot")
    assert nameless.item_titles == ("",)
    assert named.item_titles[named.item_ids.index("nameless")] == "Bicycle Pump"
    assert "pump" in named.query_texts
    assert shop.worst(named) > 0.999


def test_what_an_erasure_removes_is_gone(open_shop: OpenShop) -> None:
    """A query and an item that nobody else had; what others have stays."""
    shop = open_shop(RoundLimits())
    events = shop.events
    shop.round([click(1, "a", "secret", "hidden thing"), click(2, "a", "red mug", "mug-red")])

    result = shop.becomes(events)
    back = shop.round([click(3, "b", "secret", "mug-red")])

    assert result.gone_items == ("hidden thing",)
    assert result.gone_queries.tolist() == [text_key("secret")]
    assert "secret" not in result.query_texts
    assert "mug-red" in result.item_ids
    assert shop.worst(result) > 0.999
    assert "secret" in back.query_texts


def test_what_another_shard_has_is_not_gone(
    publish_graph: Publish, make_arrays: MakeArrays
) -> None:
    """A shard that has nothing of a query or an item any more says nothing of others:
    not of their clicks, and not of the catalogue, which has an item in one shard.
    """
    items = [CatalogItem(item_id="listed", title="Teapot")]
    events = [*shop_events(60), click(1, "s", "red mug", "unlisted")]
    generation = publish_graph(make_arrays(events, items), replace(SETTINGS, max_passes=1))
    for _ in range(2):
        generation.manifest.snapshot.shards.add()
    home = shard_of("listed", 2)

    def gone(shard: int, *item_ids: str, queries: Sequence[str] = ()) -> RoundResult:
        changes = changes_between([], [], gone_items=item_ids, gone_queries=queries)
        return FreshState(generation).apply([replace(changes, shard=shard)])

    assert gone(0, "unlisted", queries=["red mug"]).gone_items == ()
    assert not len(gone(0, queries=["red mug"]).gone_queries)
    assert gone(1 - home, "listed").gone_items == ()
    assert gone(home, "listed").gone_items == ("listed",)


def test_an_edge_of_too_few_sessions_does_not_count(open_shop: OpenShop) -> None:
    """And its query, if new, is not told."""
    shop = open_shop(RoundLimits())
    state = FreshState(shop.generation, min_sessions=2)

    def clicks(sessions: int) -> RoundResult:
        before = [*shop.events, *new(sessions - 1)]
        return state.apply([changes_between(before, [*shop.events, *new(sessions)])])

    def new(sessions: int) -> list[Interaction]:
        return [click(each, f"n{each}", "rare words", "mug-red") for each in range(sessions)]

    assert "rare words" not in clicks(1).query_texts
    assert "rare words" in clicks(2).query_texts


def test_an_audit_says_how_far_from_a_full_pass_it_is(open_shop: OpenShop) -> None:
    """Where no neighbour is recomputed: the worst cosine is that of a full pass."""
    shop = open_shop(RoundLimits(max_round_nodes=0))
    states = [replace(item, title=f"Novel {item.item_id}", ts_ms=1) for item in shop_items()[:9]]
    shop.round(drawn_events(Random(2), 12), states)

    queries, items = network_pass(
        shop.generation, shop.make_arrays(shop.events, shop.items), SETTINGS
    )

    nodes, names = shop.state._graph.nodes, shop.state._directory
    cosines = [
        float(vector @ (items[key] if is_item else queries[key]))
        for slot, vector, is_item in zip(
            range(nodes.count),
            nodes.vectors(np.arange(nodes.count)),
            nodes.columns.is_item[: nodes.count].tolist(),
            strict=True,
        )
        if (key := _name_of(names, nodes, slot, is_item=is_item))
    ]
    assert len(cosines) == nodes.count
    assert min(cosines) < 0.9999
    assert shop.state.audit(nodes.count) == pytest.approx(min(cosines), abs=2e-4)


def _name_of(names: Directory, nodes: Nodes, slot: int, *, is_item: bool) -> str:
    if not is_item:
        return names.query_text(slot)
    item = names.item(names.item_key(slot), int(nodes.columns.row[slot]))
    return item.item_id if item is not None else ""


def test_a_query_of_too_few_sessions_is_in_no_hyperedge(open_shop: OpenShop) -> None:
    """Two items in one session are as if they had been viewed without a search."""
    shop = open_shop(RoundLimits())
    clicks = [click(1, "n", "rare words", "mug-red"), click(2, "n", "rare words", "lamp-blue")]
    views = [replace(event, query="") for event in clicks]

    found = [
        FreshState(shop.generation, min_sessions=2).apply(
            [changes_between(shop.events, [*shop.events, *events])]
        )
        for events in (clicks, views)
    ]

    with_query, without = (
        dict(zip(each.item_ids, each.item_vectors, strict=True)) for each in found
    )
    assert with_query.keys() == without.keys() == {"lamp-blue", "mug-red"}
    for item_id, vector in with_query.items():
        np.testing.assert_allclose(vector, without[item_id], atol=1e-6)


def test_above_its_bound_only_what_is_named_becomes_active(open_shop: OpenShop) -> None:
    """Neighbours then wait for a generation."""
    shop = open_shop(replace(UNBOUND, max_active_nodes=1))

    result = shop.round([click(1, "new", "red mug", "mug-red")])

    assert result.query_texts == ("red mug",)
    assert result.item_ids == ("mug-red",)
    assert result.carried > 0
    assert result.withheld > 0


def test_a_text_without_a_finite_vector_changes_nothing(
    shop_generation: Generation, make_arrays: MakeArrays, caplog: pytest.LogCaptureFixture
) -> None:
    """The item keeps its vector, and is named in the log; its neighbours do, too."""
    encoder = dict(shop_generation.encoder)
    bag, rows = np.array(encoder["bag"]), encoder["rows"]
    bag[rows[text_features("teapot", len(rows))]] = np.nan
    generation = replace(shop_generation, encoder={**encoder, "bag": bag})
    shop = Shop(generation, FreshState(generation), make_arrays, shop_events(150), shop_items())
    states = [
        CatalogItem(item_id="mug-red", title="Teapot", ts_ms=1),
        CatalogItem(item_id="new", title="Teapot", ts_ms=1),
    ]

    result = shop.round(catalog=states)

    row = generation.find_item("mug-red")
    assert row is not None
    np.testing.assert_array_equal(result.item_vectors, [generation.item_vectors[row]])
    assert result.item_ids == ("mug-red",)
    assert "Teapot" in caplog.text
    assert "node='new'" in caplog.text


def test_without_its_state_a_generation_is_followed_by_texts_alone(
    shop_generation: Generation,
) -> None:
    """New items and deletions are there at once; clicks wait for a generation."""
    state = FreshState(replace(shop_generation, fresh=None))
    listed = CatalogItem(item_id="new", title="Blue Lamp", text="glass")
    deleted = CatalogItem(item_id="mug-red", deleted=True, ts_ms=7)
    events = [click(1, "a", "red mug", "mug-blue")]

    result = state.apply([changes_between([], events, [listed, deleted])])

    assert result.item_ids == ("new",)
    assert result.gone_items == ("mug-red",)
    assert state.audit(10) == 1.0
    np.testing.assert_allclose(
        result.item_vectors[0],
        shop_generation.text_encoder().encode_item("Blue Lamp glass"),
        atol=1e-5,
    )
