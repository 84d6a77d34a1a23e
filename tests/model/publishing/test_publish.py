"""Publishing: all or nothing, judged, reversible."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import model.publishing.publish
from model.artifact.generation import Generation, open_generation
from model.artifact.index.engine import load_engine
from model.artifact.index.engines import ENGINES
from model.artifact.index.exact import ExactEngine
from model.artifact.provenance import catalog_hash
from model.artifact.store import ArtifactStore
from model.errors import ArtifactError, GateRefused, GenerationCorrupt, GenerationMissing
from model.publishing.index.recall import exact_answers
from model.publishing.publish import publish, use_generation
from model.settings import ModelSettings
from model.training.result import TrainedModel
from model.training.train import train
from stream.events.types import CatalogItem
from stream.graph.arrays import GraphArrays
from stream.graph.attributes import attribute_columns
from testing.small_shop import NOW_MS, MakeArrays, shop_events, shop_items, snapshot_of


def shuffled(trained: TrainedModel) -> TrainedModel:
    """Return a model that the gate refuses."""
    return replace(trained, item_vectors=np.random.default_rng(1).permutation(trained.item_vectors))


def test_a_published_generation_is_live_and_answers(
    generation: Generation, artifacts: ArtifactStore
) -> None:
    """A server's path: encode, search, name the items."""
    assert artifacts.current_id() == generation.id
    index = generation.open_index()

    ids, _ = index.search(generation.text_encoder().encode("amber kettle"), 3)

    assert "kettle-amber" in [generation.item_ids[generation.index_items[each]] for each in ids]


def test_the_manifest_says_where_it_came_from(generation: Generation, arrays: GraphArrays) -> None:
    """Snapshot, settings, figures, verdict."""
    manifest = generation.manifest

    assert manifest.snapshot.watermark_ms == arrays.watermark_ms
    assert manifest.snapshot.graph_hash == "f" * 64
    assert manifest.created_ms == NOW_MS
    assert manifest.metric == "cosine"
    assert manifest.model["dim"] == "16"
    assert manifest.gate.passed
    assert manifest.evaluation["index_recall_10"] == 1.0
    assert manifest.evaluation["validation_mrr"] > 0
    assert manifest.code_version


@pytest.mark.parametrize(
    ("name", "searched_with"), [("annoy", 321), ("exact", 0), ("ivf", 321)], ids=ENGINES
)
def test_the_manifest_says_how_the_index_was_judged(
    trained: TrainedModel,
    arrays: GraphArrays,
    settings: ModelSettings,
    artifacts: ArtifactStore,
    name: str,
    searched_with: int,
) -> None:
    """Whoever opens it searches as the gate did."""
    chosen = replace(settings, index_engine=name, index_search_k=321)

    published = publish(trained, arrays, snapshot_of(arrays), artifacts, chosen, NOW_MS)

    generation = open_generation(artifacts.generation_path(published))
    assert generation.manifest.index.engine == name
    assert generation.search_k == searched_with
    assert generation.engine is load_engine(name)
    assert generation.manifest.metric == generation.engine.metric
    trial = generation.manifest.index.trials[0]
    assert (trial.engine, trial.search_k) == (name, searched_with)
    answers = exact_answers(
        generation.item_vectors[generation.index_items], generation.query_vectors
    )
    recall = answers.recall(generation.open_index())
    assert recall == trial.recall_10["known"]
    evaluation = generation.manifest.evaluation
    assert evaluation["index_recall_10_known"] == recall
    assert evaluation["index_recall_10"] == min(trial.recall_10.values())


def test_following_the_gates_advice_on_the_index_makes_it_pass(
    make_arrays: MakeArrays, settings: ModelSettings, artifacts: ArtifactStore
) -> None:
    """Each of its advices, one after the other, with the same model."""
    stock = [CatalogItem(item_id=f"s{n}", title=f"{n * 7919 % 9973} {n:x}") for n in range(3000)]
    arrays = make_arrays(shop_events(100), [*shop_items(), *stock])
    few = replace(
        settings, index_engine="ivf", index_search_k=1, recall_at_10=1.0, gate_max_mean_cosine=1.0
    )
    trained, snapshot = train(arrays, few), snapshot_of(arrays)

    with pytest.raises(GateRefused, match=r"set model\.index_search_k \(now 1\) to 0") as caught:
        publish(trained, arrays, snapshot, artifacts, few, NOW_MS)
    chosen = replace(few, index_search_k=0)
    with pytest.raises(GateRefused, match=r"set model\.index_engine \(now ivf\) to auto") as again:
        publish(trained, arrays, snapshot, artifacts, chosen, NOW_MS + 1000)
    auto = replace(chosen, index_engine="auto")
    passed = publish(trained, arrays, snapshot, artifacts, auto, NOW_MS + 2000)

    recalls = [
        artifacts.manifest(each).evaluation["index_recall_10"]
        for each in (caught.value.generation_id, again.value.generation_id, passed)
    ]
    assert recalls[0] < recalls[1] < recalls[2] == 1.0
    trial = artifacts.manifest(passed).index.trials[0]
    assert set(trial.recall_10) == {"known", "unseen", "newest"}


def test_vectors_belong_to_their_ids(
    generation: Generation, trained: TrainedModel, arrays: GraphArrays
) -> None:
    """Row by row."""
    for row, item_id in enumerate(generation.item_ids):
        expected = trained.item_vectors[arrays.item_ids.index(item_id)]
        assert np.array_equal(generation.item_vectors[row], expected)
    for row, text in enumerate(generation.query_texts):
        expected = trained.query_vectors[arrays.query_texts.index(text)]
        assert np.array_equal(generation.query_vectors[row], expected)


def test_deleted_items_are_not_exported_and_unavailable_ones_not_indexed(
    make_arrays: MakeArrays, settings: ModelSettings, artifacts: ArtifactStore
) -> None:
    """A server cannot show what it does not have."""
    items = [
        *shop_items(),
        CatalogItem(item_id="mug-red", title="Red Mug", deleted=True),
        CatalogItem(item_id="mug-blue", title="Blue Mug", available=False),
    ]
    arrays = make_arrays(shop_events(400), items)

    published = publish(
        train(arrays, settings), arrays, snapshot_of(arrays), artifacts, settings, NOW_MS
    )

    generation = open_generation(artifacts.generation_path(published))
    indexed = [generation.item_ids[item] for item in generation.index_items]
    assert "mug-red" not in list(generation.item_ids)
    assert "mug-blue" in list(generation.item_ids)
    assert "mug-blue" not in indexed
    assert not generation.item_shown[list(generation.item_ids).index("mug-blue")]
    assert len(indexed) == len(shop_items()) - 2


def test_a_shop_with_nothing_to_show_is_published(
    make_arrays: MakeArrays, settings: ModelSettings, artifacts: ArtifactStore
) -> None:
    """Everything is sold out: an empty index, not an error."""
    items = [replace(item, available=False) for item in shop_items()]
    arrays = make_arrays(shop_events(400), items)

    published = publish(
        train(arrays, settings), arrays, snapshot_of(arrays), artifacts, settings, NOW_MS
    )

    assert open_generation(artifacts.generation_path(published)).manifest.num_indexed == 0


def test_a_refused_generation_stays_on_disk_and_the_live_one_stays_live(
    generation: Generation,
    trained: TrainedModel,
    arrays: GraphArrays,
    settings: ModelSettings,
    artifacts: ArtifactStore,
) -> None:
    """To be looked into."""
    with pytest.raises(GateRefused, match="do not belong to their ids") as caught:
        publish(shuffled(trained), arrays, snapshot_of(arrays), artifacts, settings, NOW_MS + 1000)

    assert artifacts.current_id() == generation.id
    refused = artifacts.manifest(caught.value.generation_id)
    assert not refused.gate.passed
    assert list(refused.gate.reasons) == list(caught.value.reasons)
    open_generation(artifacts.generation_path(caught.value.generation_id))


def test_a_first_generation_that_is_refused_leaves_nothing_live(
    trained: TrainedModel, arrays: GraphArrays, settings: ModelSettings, artifacts: ArtifactStore
) -> None:
    """Better no answer than a wrong one."""
    with pytest.raises(GateRefused):
        publish(shuffled(trained), arrays, snapshot_of(arrays), artifacts, settings, NOW_MS)

    assert artifacts.current_id() is None


def test_a_crash_between_writing_and_going_live_leaves_both_complete(
    generation: Generation,
    trained: TrainedModel,
    arrays: GraphArrays,
    settings: ModelSettings,
    artifacts: ArtifactStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The old one is live, the new one is whole, and can be made live by hand."""

    def die(_path: Path, _content: bytes) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(model.publishing.publish, "replace_file", die)
        with pytest.raises(KeyboardInterrupt):
            publish(trained, arrays, snapshot_of(arrays), artifacts, settings, NOW_MS + 1000)

    assert artifacts.current_id() == generation.id
    old, new = artifacts.generation_ids()
    assert old == generation.id
    use_generation(artifacts, new)
    assert artifacts.current_id() == new


def test_a_crash_while_writing_leaves_no_generation(
    trained: TrainedModel,
    arrays: GraphArrays,
    settings: ModelSettings,
    artifacts: ArtifactStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Half a folder is never listed."""

    def die(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ExactEngine, "build", die)

    with pytest.raises(KeyboardInterrupt):
        publish(trained, arrays, snapshot_of(arrays), artifacts, settings, NOW_MS)

    assert artifacts.generation_ids() == []
    assert list((artifacts.root / "generations").iterdir()) == []


def test_what_a_killed_writer_left_is_removed(
    trained: TrainedModel, arrays: GraphArrays, settings: ModelSettings, artifacts: ArtifactStore
) -> None:
    """Half a generation does not hold its disk space for ever."""
    left = artifacts.root / "generations" / ".20260101T000000Z-aaaaaa.0f0f.tmp"
    left.mkdir(parents=True)
    (left / "item_vectors.npy").write_bytes(b"half")

    generation_id = publish(trained, arrays, snapshot_of(arrays), artifacts, settings, NOW_MS)

    assert [path.name for path in (artifacts.root / "generations").iterdir()] == [generation_id]


def test_a_folder_that_cannot_be_written_is_said_so(
    trained: TrainedModel, arrays: GraphArrays, settings: ModelSettings, tmp_path: Path
) -> None:
    """With its name."""
    (tmp_path / "file").write_text("")

    with pytest.raises(ArtifactError, match=str(tmp_path)):
        publish(
            trained, arrays, snapshot_of(arrays), ArtifactStore(tmp_path / "file"), settings, NOW_MS
        )


def test_old_generations_go_and_the_live_one_never_does(
    generation: Generation,
    trained: TrainedModel,
    arrays: GraphArrays,
    settings: ModelSettings,
    artifacts: ArtifactStore,
    ticks: Iterator[int],
) -> None:
    """Refused ones do not push out those that can be rolled back to."""
    few = replace(settings, keep_generations=2)
    published = [
        publish(trained, arrays, snapshot_of(arrays), artifacts, few, next(ticks) + 1000)
        for _ in range(3)
    ]
    assert artifacts.generation_ids() == published[1:]

    use_generation(artifacts, published[1])
    for _ in range(4):
        with pytest.raises(GateRefused):
            publish(
                shuffled(trained), arrays, snapshot_of(arrays), artifacts, few, next(ticks) + 1000
            )

    assert artifacts.current_id() == published[1]
    kept = artifacts.generation_ids()
    assert kept[:2] == published[1:]
    assert len(kept) == 4


def test_a_generation_that_is_not_there_cannot_be_used(
    generation: Generation, artifacts: ArtifactStore
) -> None:
    """The message lists some that can."""
    with pytest.raises(GenerationMissing, match=generation.id):
        use_generation(artifacts, "20200101T000000Z-000000")


def test_a_damaged_generation_cannot_be_used(
    generation: Generation,
    trained: TrainedModel,
    arrays: GraphArrays,
    settings: ModelSettings,
    artifacts: ArtifactStore,
) -> None:
    """A roll-back is verified first."""
    newer = publish(trained, arrays, snapshot_of(arrays), artifacts, settings, NOW_MS + 1000)
    (generation.path / "query_vectors.npy").write_bytes(b"")

    with pytest.raises(GenerationCorrupt, match="query_vectors"):
        use_generation(artifacts, generation.id)

    assert artifacts.current_id() == newer


def test_a_damaged_live_generation_does_not_stop_the_next(
    generation: Generation,
    trained: TrainedModel,
    arrays: GraphArrays,
    settings: ModelSettings,
    artifacts: ArtifactStore,
) -> None:
    """There is nothing to compare with, and every reason to replace it."""
    (generation.path / "query_vectors.npy").write_bytes(b"")

    newer = publish(trained, arrays, snapshot_of(arrays), artifacts, settings, NOW_MS + 1000)

    assert artifacts.current_id() == newer


def test_the_catalogues_hash_changes_with_what_it_says(arrays: GraphArrays) -> None:
    """A title, an availability, an attribute; nothing else."""
    title = replace(arrays, item_titles=["New title", *arrays.item_titles[1:]])
    unavailable = replace(arrays, item_available=~arrays.item_available)

    columns = attribute_columns([{"brand": "acme"}, *[{}] * (arrays.num_items - 1)])
    attribute = replace(arrays, item_attributes=columns)

    assert catalog_hash(replace(arrays, watermark_ms=1)) == catalog_hash(arrays)
    assert len({catalog_hash(each) for each in (arrays, title, unavailable, attribute)}) == 4
