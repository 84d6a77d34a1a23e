"""Graphs that no shop should have.

Each gives a generation that answers, or one sentence why not.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.artifact.generation import Generation, open_generation
from model.artifact.store import ArtifactStore
from model.errors import GateRefused, TrainingRefused
from model.publishing.publish import publish
from model.publishing.refresh import SnapshotInput, train_and_publish
from model.settings import ModelSettings
from model.training.train import train
from model.training.warm_start import open_warm_start
from stream.actions import Action
from stream.dtypes import Float32s
from stream.errors import StoreMismatch
from stream.events.types import CatalogItem, Interaction
from stream.graph.arrays import GraphArrays
from stream.reading.reader import open_graph
from stream.reading.snapshot import take_snapshot
from stream.settings import StreamSettings
from testing.small_shop import (
    NOW_MS,
    MakeArrays,
    click,
    fill_store,
    shop_events,
    shop_items,
    snapshot_of,
)

SCRIPTS = (
    "röd mugg",
    "красная кружка",
    "赤いマグカップ",
    "빨간 머그잔",
    "كوب أحمر",
    "ספל אדום",
    "लाल मग",
    "แก้วสีแดง",
    "κόκκινη κούπα",
    "🏺🔴",
    "e\u0301 \u200d\u202e rtl",
    "…!?",
    "x" * 512,
)


@pytest.fixture
def small(settings: ModelSettings) -> ModelSettings:
    """Return settings of a network that is trained in a moment."""
    return replace(settings, dim=8, hidden=8, max_passes=3)


def published(
    arrays: GraphArrays,
    settings: ModelSettings,
    artifacts: ArtifactStore,
    warm: Generation | None = None,
) -> Generation:
    """Train, publish, and return the generation, which is live, verified, finite, and
    answers.
    """
    trained = train(arrays, settings, warm=warm)
    generation_id = publish(trained, arrays, snapshot_of(arrays), artifacts, settings, NOW_MS)
    assert artifacts.current_id() == generation_id
    generation = open_generation(artifacts.generation_path(generation_id))
    stored = [generation.item_vectors, generation.query_vectors, *generation.encoder.values()]
    assert all(np.isfinite(array).all() for array in [*stored, *generation.warm.values()])
    assert answers(generation, "anything at all"), "every query has an answer"
    return generation


def answers(generation: Generation, text: str, k: int = 3) -> list[str]:
    """Return the ids that a server would answer with.

    Of a known query's vector, or of its text.
    """
    row = generation.find_query(text)
    known = None if row is None else generation.query_vectors[row]
    vector = generation.text_encoder().encode(text) if known is None else known
    found, _ = generation.open_index().search(
        np.asarray(vector), min(k, generation.manifest.num_indexed)
    )
    return [generation.item_ids[generation.index_items[each]] for each in found]


def with_a_nan(array: Float32s) -> Float32s:
    """Return a copy whose first value is NaN."""
    copy = np.array(array)
    copy.flat[0] = np.nan
    return copy


def views(events: Sequence[Interaction]) -> list[Interaction]:
    """Return the same events without a search behind them."""
    return [replace(event, query="", action=Action.VIEW) for event in events]


def test_sessions_without_an_edge_make_a_model_of_titles(
    make_arrays: MakeArrays, small: ModelSettings, artifacts: ArtifactStore
) -> None:
    """Nothing was ever clicked from a search; text alone finds items."""
    generation = published(make_arrays(views(shop_events(300)), shop_items()), small, artifacts)

    assert generation.manifest.num_queries == 0
    assert "mug-amber" in answers(generation, "amber mug", k=5)


@pytest.mark.parametrize(
    "events", [[], views(shop_events(20))], ids=["no event", "views without titles"]
)
def test_no_edge_and_no_title_is_refused(
    make_arrays: MakeArrays,
    small: ModelSettings,
    artifacts: ArtifactStore,
    events: list[Interaction],
) -> None:
    """In one line, with what to do; nothing is written."""
    with pytest.raises(TrainingRefused, match=r"^nothing to learn from: [^\n]*freshet stream"):
        published(make_arrays(events), small, artifacts)

    assert artifacts.generation_ids() == []


def test_one_item_is_every_answer(
    make_arrays: MakeArrays, small: ModelSettings, artifacts: ArtifactStore
) -> None:
    """There is nothing else to rank."""
    arrays = make_arrays([click(0, "s", "mug", "a"), click(1, "t", "cup", "a")])

    generation = published(arrays, small, artifacts)

    assert answers(generation, "mug") == answers(generation, "teapot") == ["a"]


def test_one_click_is_enough(
    make_arrays: MakeArrays, small: ModelSettings, artifacts: ArtifactStore
) -> None:
    """The least graph that has an edge, beside a catalogue nobody ever clicked in."""
    generation = published(
        make_arrays([click(0, "s", "red mug", "mug-red")], shop_items()), small, artifacts
    )

    assert generation.manifest.num_items == len(shop_items())


def test_an_empty_hypergraph_channel_is_silent(
    make_arrays: MakeArrays, small: ModelSettings, artifacts: ArtifactStore
) -> None:
    """No session holds two items."""
    events = [replace(event, session_id=f"s{n}") for n, event in enumerate(shop_events(100))]

    generation = published(make_arrays(events, shop_items()), small, artifacts)

    assert (generation.channel_attention_items[:, 2] == 0).all()
    assert (generation.channel_attention_queries[:, 2] == 0).all()


@pytest.mark.parametrize("off", ["use_bipartite", "use_hypergraph", "use_ids"])
def test_a_channel_that_is_off_is_missed_by_none(
    arrays: GraphArrays, small: ModelSettings, artifacts: ArtifactStore, off: str
) -> None:
    """The others carry the model."""
    published(arrays, replace(small, **{off: False}), artifacts)  # type: ignore[arg-type]


def test_all_sessions_are_identical(
    make_arrays: MakeArrays, small: ModelSettings, artifacts: ArtifactStore
) -> None:
    """Nothing tells the three items apart."""
    events = [
        click(n * 10 + m, f"s{n}", "mug", item)
        for n in range(50)
        for m, item in enumerate(("a", "b", "c"))
    ]

    generation = published(make_arrays(events), small, artifacts)

    assert sorted(answers(generation, "mug")) == ["a", "b", "c"]


def published_or_collapsed(
    arrays: GraphArrays, settings: ModelSettings, artifacts: ArtifactStore
) -> None:
    """Publish; the gate may refuse, for one reason only.

    Nothing tells the items apart.
    """
    try:
        published(arrays, settings, artifacts)
    except GateRefused as refused:
        assert all(reason.startswith("item vectors have collapsed") for reason in refused.reasons)  # noqa: PT017


def test_all_sessions_and_all_texts_are_identical(
    make_arrays: MakeArrays, small: ModelSettings, artifacts: ArtifactStore
) -> None:
    """Thirty items that no model can tell apart.

    Published, or refused as collapsed, and never a NaN.
    """
    names = [f"i{number}" for number in range(30)]
    events = [
        click(n * 100 + m, f"s{n}", "mug", name) for n in range(20) for m, name in enumerate(names)
    ]
    items = [CatalogItem(item_id=name, title="Mug") for name in names]

    published_or_collapsed(make_arrays(events, items), small, artifacts)


def test_a_session_of_ten_thousand_items(
    make_arrays: MakeArrays, small: ModelSettings, artifacts: ArtifactStore
) -> None:
    """A crawler's session is bounded in the hypergraph and does not drown the shop."""
    stock = [
        CatalogItem(item_id=f"crawled-{n}", title=f"{n * 7919 % 9973} {n:x}") for n in range(10_000)
    ]
    crawler = [
        click(10**8 + n, "crawler", "", item.item_id, Action.VIEW) for n, item in enumerate(stock)
    ]
    clicks = [click(10**9 + n, "crawler", "everything", stock[n].item_id) for n in range(100)]
    arrays = make_arrays([*shop_events(200), *crawler, *clicks], [*shop_items(), *stock])

    generation = published(arrays, small, artifacts)

    assert generation.manifest.num_items == 10_000 + len(shop_items())
    assert "mug-red" in answers(generation, "red mug", k=10)


def test_text_in_any_script(
    make_arrays: MakeArrays, small: ModelSettings, artifacts: ArtifactStore
) -> None:
    """Queries, titles and ids in any script are kept to the letter, and asked for by
    it.
    """
    events = [
        click(100 * n + m, f"s{n}-{m}", text, f"id {text}")
        for n, text in enumerate(SCRIPTS)
        for m in range(10)
    ]
    items = [CatalogItem(item_id=f"id {text}", title=text) for text in SCRIPTS]

    generation = published(make_arrays(events, items), replace(small, max_passes=12), artifacts)

    assert sorted(generation.item_ids) == sorted(f"id {text}" for text in SCRIPTS)
    assert generation.find_query("赤いマグカップ") is not None
    assert answers(generation, "赤いマグカップ", k=1) == ["id 赤いマグカップ"]


@pytest.mark.parametrize(
    "text", ["", " ", "?!…", "\u200d"], ids=["empty", "blank", "marks", "joiner"]
)
def test_queries_and_titles_that_hold_no_word(
    make_arrays: MakeArrays, small: ModelSettings, artifacts: ArtifactStore, text: str
) -> None:
    """The graph alone tells the items apart, or nothing does.

    Published, or refused as collapsed.
    """
    events = [replace(event, query=event.query.split()[-1]) for event in shop_events(300)]
    blank = [click(10**9 + n, f"b{n}", text, "mug-red", Action.CLICK) for n in range(5)]
    items = [replace(item, title=text) for item in shop_items()]

    published_or_collapsed(make_arrays([*events, *blank], items), small, artifacts)


def test_nan_in_a_warm_start_begins_from_scratch(
    generation: Generation,
    arrays: GraphArrays,
    settings: ModelSettings,
    artifacts: ArtifactStore,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The generation that comes has no parent."""
    warm = {**generation.warm, "item_ids": with_a_nan(generation.warm["item_ids"])}

    child = published(arrays, settings, artifacts, warm=replace(generation, warm=warm))

    assert child.manifest.parent == ""
    assert "not finite" in caplog.text


def test_a_nan_in_any_array_of_a_warm_start_is_found(
    generation: Generation, arrays: GraphArrays, settings: ModelSettings
) -> None:
    """One value is enough."""
    warm, encoder = generation.warm, generation.encoder
    poisoned = [
        *(replace(generation, warm={**warm, name: with_a_nan(warm[name])}) for name in warm),
        *(
            replace(generation, encoder={**encoder, name: with_a_nan(encoder[name])})
            for name in encoder
            if encoder[name].dtype == np.float32
        ),
    ]
    assert not any(open_warm_start(each, arrays, settings) for each in poisoned)
    assert open_warm_start(generation, arrays, settings) is not None


def test_a_snapshot_of_another_format_version_is_refused(
    small: ModelSettings, artifacts: ArtifactStore, tmp_path: Path
) -> None:
    """In one line with both versions; nothing is written."""
    fill_store(tmp_path / "store", shop_events(50), shop_items())
    path = tmp_path / "snapshot"
    info = take_snapshot(tmp_path / "store", path, StreamSettings(), NOW_MS)
    manifest = path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"format_version": 2', '"format_version": 9'))

    with (
        pytest.raises(
            StoreMismatch, match=r"^[^\n]*format version 9, this version of Freshet reads 2[^\n]*$"
        ),
        open_graph(path, StreamSettings()) as graph,
    ):
        train_and_publish(SnapshotInput(snapshot=info, arrays=graph.arrays()), artifacts, small)

    assert artifacts.generation_ids() == []


def test_a_generation_is_a_function_of_graph_settings_and_seed(
    arrays: GraphArrays, small: ModelSettings, tmp_path: Path
) -> None:
    """On the CPU, to the last bit; another seed gives other vectors."""
    once, again, other = (
        published(arrays, replace(small, seed=seed), ArtifactStore(tmp_path / folder))
        for folder, seed in (("once", 3), ("again", 3), ("other", 4))
    )

    for name in (
        "item_vectors",
        "query_vectors",
        "channel_attention_items",
        "channel_attention_queries",
    ):
        assert np.array_equal(getattr(once, name), getattr(again, name))
    assert all(np.array_equal(once.warm[name], again.warm[name]) for name in once.warm)
    assert once.index_path.read_bytes() == again.index_path.read_bytes()
    assert not np.array_equal(once.item_vectors, other.item_vectors)
    assert not np.array_equal(once.query_vectors, other.query_vectors)
