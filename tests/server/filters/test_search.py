"""Answers to queries with a filter are those of a plain scan of what it lets in, by
every engine and way, with overlays.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from model.artifact.index.engines import ENGINES
from model.artifact.overlay.merge import merge_rows
from model.artifact.overlay.segment import Claim, OverlayRows
from model.settings import ModelSettings
from protos.attributes import askable, members_of, number_of
from server.errors import NoAttributes, QueryRefused
from server.filters import search as filtered
from server.filters.conditions import (
    AnyOf,
    Condition,
    Filter,
    FilterPath,
    GroupBy,
    NumberRange,
    Present,
    Test,
)
from server.live import LiveGeneration
from server.overlay.held import IndexPlaces, hold
from server.overlay.view import LiveView
from server.retrieve import RetrievalQuery, nearest_items, retrieve
from server.settings import ServerSettings
from testing.overlays import overlay_rows, random_units
from testing.small_generations import DIM, NOW_MS, Artifacts, make_catalogue, some_attributes

NUM_ITEMS = 120

Vector = NDArray[np.float32]
Attributes = Mapping[str, str]


@dataclass(frozen=True)
class Shop:
    """A live view, and what is shown in it."""

    view: LiveView
    vectors: Mapping[str, Vector]
    attributes: Mapping[str, Attributes]


@pytest.fixture(scope="module", params=ENGINES)
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A small generation; its index misses nothing, with any engine."""
    settings_ = ModelSettings(index_engine=request.param, index_search_k=1000, num_trees=10, seed=1)
    catalogue = replace(make_catalogue(NUM_ITEMS, ["lamp"]), settings=settings_)
    catalogue.attributes = some_attributes(NUM_ITEMS)
    catalogue.hidden = frozenset(range(0, NUM_ITEMS, 7))
    catalogue.item_ids = [f"item {item}" for item in range(NUM_ITEMS)]
    artifacts = Artifacts(tmp_path_factory.mktemp("generations") / "artifacts")
    path = artifacts.store.generation_path(artifacts.write(catalogue))
    shown = [item for item in range(NUM_ITEMS) if item not in catalogue.hidden]
    return Shop(
        view=LiveView.bare(LiveGeneration.load(path, ServerSettings())),
        vectors={f"item {item}": catalogue.item_vectors[item] for item in shown},
        attributes={f"item {item}": catalogue.attributes[item] for item in range(NUM_ITEMS)},
    )


def held(shop: Shop, rows: OverlayRows, gone: dict[str, int] | None = None) -> LiveView:
    """Return the shop's view with these rows in its overlay."""
    overlay = hold(
        shop.view.live,
        rows,
        Claim(),
        sequence=1,
        writer="w",
        gone=gone or {},
        places=IndexPlaces(shop.view.live),
    )
    return replace(shop.view, overlay=overlay)


def holds(test: Test, value: str) -> bool:
    """Whether a test holds for a value, by its definition."""
    values = (value, *members_of(value))
    match test:
        case Present():
            return True
        case AnyOf(wanted):
            return bool({*values} & {*wanted})
        case NumberRange():
            numbers = [number_of(each) for each in values]
            return any(
                (test.low <= number if test.has_low else test.low < number)
                and (number <= test.high if test.has_high else number < test.high)
                for number in numbers
            )


def lets_in(wanted: Filter, item_id: str, attributes: Attributes) -> bool:
    """Whether a filter lets an item in, by its definition."""
    found = askable(attributes)
    return item_id not in wanted.excluded_ids and all(
        (each.attribute in found and holds(each.test, found[each.attribute])) != each.is_negated
        for each in wanted.conditions
    )


def expected(
    wanted: Filter,
    vectors: Mapping[str, Vector],
    attributes: Mapping[str, Attributes],
    query: Vector,
    k: int,
) -> list[float]:
    """Return the scores of an answer, by a plain scan."""
    scores = {
        id_: float(vector.astype(np.float64) @ query)
        for id_, vector in vectors.items()
        if lets_in(wanted, id_, attributes.get(id_, {}))
    }
    found: list[float] = []
    seen: dict[str, int] = {}
    for id_ in sorted(scores, key=lambda id_: -scores[id_]):
        group = wanted.group_by
        value = askable(attributes.get(id_, {})).get(group.attribute) if group is not None else None
        if group is not None and value is not None:
            seen[value] = seen.get(value, 0) + 1
            if seen[value] > group.max_hits:
                continue
        if scores[id_] >= wanted.min_score:
            found.append(scores[id_])
    return found[:k]


def ids_of(view: LiveView, query: Vector, k: int, wanted: Filter) -> list[str]:
    """Return the ids of an answer."""
    nearest, _ = nearest_items(view, query, k, wanted)
    generation, rows = view.live.generation, view.overlay.rows
    return [
        rows.item_ids[row] if fresh else generation.item_ids[row]
        for fresh, row in zip(nearest.from_overlay.tolist(), nearest.rows.tolist(), strict=True)
    ]


NAMES = ["price", "brand", "colour", "sale", "sizes", "nobody has it"]
TEXTS = ["1", "7", "12", "brand 1", "brand 4", "red", "blue", "green, blue", "yes", "30", "31"]
tests = st.one_of(
    st.lists(st.sampled_from(TEXTS), min_size=1, max_size=3).map(lambda found: AnyOf((*found,))),
    st.just(Present()),
)
ranges = st.builds(
    NumberRange,
    low=st.sampled_from([-np.inf, 2, 5, 20.5]),
    high=st.sampled_from([np.inf, 5, 12, 33]),
    has_low=st.booleans(),
    has_high=st.booleans(),
)
conditions = st.one_of(
    st.builds(Condition, attribute=st.sampled_from(NAMES), test=tests, is_negated=st.booleans()),
    st.builds(
        Condition,
        attribute=st.sampled_from(["price", "sizes", "nobody has it"]),
        test=ranges,
        is_negated=st.booleans(),
    ),
)
filters = st.builds(
    Filter,
    conditions=st.lists(conditions, max_size=3).map(tuple),
    excluded_ids=st.lists(
        st.integers(0, NUM_ITEMS - 1).map("item {}".format), max_size=4, unique=True
    ).map(tuple),
    group_by=st.none()
    | st.builds(GroupBy, attribute=st.sampled_from(NAMES), max_hits=st.integers(1, 3)),
    min_score=st.sampled_from([-np.inf, 0.0, 0.2]),
)


@st.composite
def overlays(draw: st.DrawFn) -> tuple[int, dict[str, Attributes | None], list[str], list[str]]:
    """Draw a seed, what changed with its new attributes (None: those of before), what
    is unavailable of it, and what is gone.
    """
    names = st.integers(0, NUM_ITEMS + 20).map("item {}".format)
    own = st.none() | st.fixed_dictionaries(
        {},
        optional={
            "price": st.sampled_from(["1", "12", "99", "dear"]),
            "colour": st.sampled_from(["red", "red, black", ""]),
            "brand": st.sampled_from(["brand 1", "brand 9"]),
        },
    )
    changed: dict[str, Attributes | None] = {}
    changed.update(draw(st.dictionaries(names, own, max_size=30)))
    hidden = draw(st.lists(st.sampled_from([*changed, "nothing"]), max_size=3))
    gone = draw(st.lists(names, max_size=20, unique=True))
    return draw(st.integers(0, 999)), changed, hidden, gone


@pytest.mark.parametrize("way", ["exact", "widened"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=filters, overlay=overlays(), k=st.integers(1, 9) | st.integers(1, NUM_ITEMS + 30))
def test_an_answer_is_the_best_of_what_the_filter_lets_in(
    shop: Shop,
    way: str,
    wanted: Filter,
    overlay: tuple[int, dict[str, Attributes | None], list[str], list[str]],
    k: int,
) -> None:
    """Whatever the filter and whatever changed, is new, unavailable or gone: as many as
    there are, and none is missing, whichever way they are found.
    """
    seed, changed, hidden, gone = overlay
    random = np.random.default_rng(seed)
    moved = {id_: random_units(random, 1, DIM)[0] for id_ in changed if id_ not in gone}
    rows = overlay_rows(
        DIM,
        items=moved,
        gone_items=gone,
        hidden=hidden,
        attributes={id_: own for id_, own in changed.items() if own is not None and id_ in moved},
    )
    view = held(shop, rows)
    vectors = {**shop.vectors, **moved}
    for id_ in {*gone, *(id_ for id_ in hidden if id_ in moved)}:
        vectors.pop(id_, None)
    known = {
        **shop.attributes,
        **{id_: own for id_, own in changed.items() if own is not None and id_ in moved},
    }
    # What the index lacks has attributes in the overlay alone.
    for id_ in moved.keys() - shop.vectors.keys():
        known[id_] = changed[id_] or {}
    query = random_units(random, 1, DIM)[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filtered, "_WIDEST_SHARE", 1.0)
        nearest, report = filtered.search_filtered(
            view, query, k, wanted, scanned_numbers=0 if way == "widened" else np.inf
        )

    np.testing.assert_allclose(
        nearest.scores, expected(wanted, vectors, known, query, k), atol=1e-6
    )
    found = ids_of(view, query, k, wanted)
    assert len(set(found)) == len(found)
    assert all(lets_in(wanted, id_, known.get(id_, {})) for id_ in found)
    assert report.num_matching == sum(lets_in(wanted, id_, known.get(id_, {})) for id_ in vectors)
    unknown = {"nobody has it"} & {*wanted.attributes}
    assert {*report.unknown_attributes} == unknown


def test_what_an_overlay_says_replaces_what_the_generation_says(shop: Shop) -> None:
    """An item that changed its brand is found by the new one alone, one that moved by
    the old; a new one at once; a deleted one not at all.
    """
    items = [id_ for id_, each in shop.attributes.items() if each["brand"] == "brand 1"]
    changed, moved, gone, *_ = (id_ for id_ in items if id_ in shop.vectors)
    query = random_units(np.random.default_rng(3), 1, DIM)[0]
    rows = overlay_rows(
        DIM,
        items={changed: query, moved: query, "new": query},
        gone_items=[gone],
        attributes={changed: {"brand": "brand 9"}, "new": {"brand": "brand 9"}},
    )
    view = held(shop, rows)

    def having(brand: str) -> set[str]:
        condition = Condition(attribute="brand", test=AnyOf((brand,)))
        return {*ids_of(view, query, 200, Filter(conditions=(condition,)))}

    assert having("brand 9") == {changed, "new"}
    assert having("brand 1") == {id_ for id_ in items if id_ in shop.vectors} - {changed, gone}


def test_a_later_segment_counts(shop: Shop) -> None:
    """An item moved after its attributes changed keeps the new ones in its segments."""
    first, *_ = shop.vectors
    query = random_units(np.random.default_rng(3), 1, DIM)[0]
    said = {first: {"brand": "brand 9"}}
    parts = [
        overlay_rows(DIM, items={first: -query}, attributes=said),
        overlay_rows(DIM, items={first: query}, attributes=said),
    ]
    condition = Condition(attribute="brand", test=AnyOf(("brand 9",)))

    view = held(shop, merge_rows(parts))

    nearest, _ = nearest_items(view, query, 9, Filter(conditions=(condition,)))
    assert nearest.scores == pytest.approx([1.0])


@pytest.fixture
def many(tmp_path: object, artifacts: Artifacts, request: pytest.FixtureRequest) -> LiveView:
    """A generation of so many items that the index is asked first; its items in one of
    four corners are red.
    """
    count = 4000
    settings_ = ModelSettings(index_engine="ivf", index_search_k=12, seed=1)
    catalogue = replace(make_catalogue(count, ["lamp"]), settings=settings_)
    corners = random_units(np.random.default_rng(5), 4, DIM)
    noise = 0.05 * random_units(np.random.default_rng(6), count, DIM)
    vectors = corners[np.arange(count) % 4] + noise
    catalogue.item_vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    catalogue.attributes = [
        {"colour": "red" if item % 4 == 0 else "blue", "half": str(item // 4 % 2)}
        for item in range(count)
    ]
    path = artifacts.store.generation_path(artifacts.write(catalogue))
    return LiveView.bare(LiveGeneration.load(path, ServerSettings()))


def test_the_way_is_chosen_by_how_many_match_and_where(many: LiveView) -> None:
    """Few are compared at once; of many the index is asked; where what matches is far
    from the query, and the index gives too few, all are compared after all.
    """
    generation = many.live.generation
    assert generation.attributes is not None
    red = generation.attributes.find(generation.attributes.number_of_name["colour"], "red")
    items = np.flatnonzero(generation.attributes.of_items(0, np.arange(4000)) == red)
    near, far = generation.item_vectors[items[0]], -generation.item_vectors[items[0]]

    def path(query: Vector, *conditions: Condition) -> FilterPath:
        nearest, report = filtered.search_filtered(
            many, query, 10, Filter(conditions=conditions), scanned_numbers=900 * DIM
        )
        assert len(nearest.rows) == 10
        return report.path

    is_red = Condition(attribute="colour", test=AnyOf(("red",)))
    is_half = Condition(attribute="half", test=AnyOf(("1",)))
    assert path(near, is_red) == FilterPath.WIDENED
    assert path(near, is_red, is_half) == FilterPath.EXACT
    assert path(far, is_red) == FilterPath.FELL_BACK
    assert path(far, is_half) == FilterPath.WIDENED


def test_what_the_index_gives_and_the_overlay_are_ranked_as_one(many: LiveView) -> None:
    """A new item comes first, one that moved away is not where it was."""
    generation = many.live.generation
    assert generation.attributes is not None
    red = generation.attributes.find(generation.attributes.number_of_name["colour"], "red")
    items = np.flatnonzero(generation.attributes.of_items(0, np.arange(4000)) == red)
    near, moved = generation.item_vectors[items[0]], generation.item_ids[items[0]]
    rows = overlay_rows(
        DIM,
        items={"new": near, "blue": near, moved: -near},
        attributes={"new": {"colour": "red"}, "blue": {"colour": "blue"}},
    )
    is_red = Condition(attribute="colour", test=AnyOf(("red",)))

    view = held(Shop(many, {}, {}), rows)
    nearest, report = filtered.search_filtered(
        view, near, 10, Filter(conditions=(is_red,)), scanned_numbers=0
    )

    assert report.path == FilterPath.WIDENED
    assert report.num_matching == len(items) + 1
    assert nearest.from_overlay.tolist() == [True] + [False] * 9
    assert rows.item_ids[int(nearest.rows[0])] == "new"
    assert items[0] not in nearest.rows[1:]


def test_few_groups_end_the_search(many: LiveView) -> None:
    """Two colours give two hits, however many are wanted."""
    query = many.live.generation.item_vectors[0]

    nearest, _ = nearest_items(many, query, 10, Filter(group_by=GroupBy(attribute="colour")))

    assert len(nearest.rows) == 2


def test_numbers_are_asked_only_where_there_are_some(shop: Shop) -> None:
    """The message shows a value, so that the mistake is seen."""
    wanted = Filter(conditions=(Condition(attribute="brand", test=NumberRange(low=3)),))

    with pytest.raises(QueryRefused, match="'brand' has no numbers, only values such as 'brand"):
        nearest_items(shop.view, random_units(np.random.default_rng(1), 1, DIM)[0], 3, wanted)


def test_a_generation_from_before_attributes_refuses_conditions_alone(
    artifacts: Artifacts,
) -> None:
    """It says why; what needs no attribute is answered."""
    path = artifacts.store.generation_path(artifacts.write(make_catalogue(30, ["lamp"])))
    view = LiveView.bare(LiveGeneration.load(path, ServerSettings()))
    condition = Condition(attribute="brand", test=Present())
    first = retrieve(view, RetrievalQuery(query="lamp", k=1)).item_ids[0]

    for wanted in (Filter(conditions=(condition,)), Filter(group_by=GroupBy(attribute="brand"))):
        with pytest.raises(NoAttributes, match="before generations held attributes"):
            retrieve(view, RetrievalQuery(query="lamp", k=3, filter=wanted))
    answer = retrieve(
        view, RetrievalQuery(query="lamp", k=30, filter=Filter(excluded_ids=(first,)))
    )

    assert len(answer.item_ids) == 29
    assert first not in answer.item_ids


def test_an_overlay_is_filtered_beside_an_empty_index(artifacts: Artifacts) -> None:
    """A shop whose first items are listed after the training."""
    empty = make_catalogue(0, ["lamp"])
    empty.attributes = []
    path = artifacts.store.generation_path(artifacts.write(empty))
    view = LiveView.bare(LiveGeneration.load(path, ServerSettings()))
    vectors = random_units(np.random.default_rng(3), 3, DIM)
    rows = overlay_rows(
        DIM,
        items={f"item {row}": vectors[row] for row in range(3)},
        attributes={"item 1": {"brand": "acme"}},
    )
    overlaid = held(Shop(view, {}, {}), rows, {"item 2": NOW_MS})
    condition = Condition(attribute="brand", test=AnyOf(("acme",)))

    assert ids_of(overlaid, vectors[0], 9, Filter(conditions=(condition,))) == ["item 1"]
    negated = replace(condition, is_negated=True)
    assert ids_of(overlaid, vectors[0], 9, Filter(conditions=(negated,))) == ["item 0"]


def test_names_that_nobody_has_are_not_kept(shop: Shop) -> None:
    """Callers make them up; memory does not grow by them."""
    query = random_units(np.random.default_rng(1), 1, DIM)[0]
    view = held(shop, overlay_rows(DIM, items={"new": query}, attributes={"new": {"a": "b"}}))
    for number in range(100):
        condition = Condition(attribute=f"made up {number}", test=Present())
        assert ids_of(view, query, 3, Filter(conditions=(condition,))) == []

    assert len(view.overlay.attributes._columns) == 0  # what must not grow
