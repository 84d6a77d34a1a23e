"""The artifact folder: what is written is read back, and nothing damaged is."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import json_format

from model.artifact.arrays.strings import StringTable
from model.artifact.encoder import BAG, TextEncoder
from model.artifact.generation import Generation, open_generation
from model.artifact.manifest import MANIFEST_NAME, SPACED_WORDS_VERSION, read_manifest
from model.artifact.store import ArtifactStore, new_generation_id
from model.artifact.writer import GenerationWriter
from model.errors import (
    ArtifactError,
    GenerationCorrupt,
    GenerationMissing,
    PretrainedTextUnusable,
)
from protos import manifest_v1_pb2 as manifest_pb
from testing.small_generations import GOLDEN

Damage = Callable[[Path], None]


def flip(path: Path) -> None:
    """Change one byte in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def cut(path: Path) -> None:
    """Lose the last byte."""
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    """Lose everything but the name."""
    path.write_bytes(b"")


def listed_files(generation: Generation) -> list[str]:
    """Return the names in the manifest, without those of files that are empty."""
    return [entry.name for entry in generation.manifest.files if entry.size_bytes]


def test_what_is_opened_is_what_was_trained(generation: Generation) -> None:
    """Counts, dimension and unit vectors."""
    manifest = generation.manifest

    assert generation.item_vectors.shape == (manifest.num_items, manifest.dim)
    assert len(generation.query_texts) == manifest.num_queries == len(generation.query_keys)
    assert np.linalg.norm(generation.query_vectors, axis=1) == pytest.approx(1.0, abs=1e-4)
    assert not generation.item_vectors.flags.writeable


@pytest.mark.parametrize(
    "damage", [flip, cut, empty, Path.unlink], ids=["flip", "cut", "empty", "gone"]
)
def test_any_damage_to_any_file_is_found_and_named(
    generation: Generation, tmp_path: Path, damage: Damage
) -> None:
    """Every file of the manifest, one at a time."""
    for name in listed_files(generation):
        copy = tmp_path / "copy"
        shutil.copytree(generation.path, copy)
        damage(copy / name)

        with pytest.raises(GenerationCorrupt, match=name.replace(".", r"\.")):
            open_generation(copy)
        shutil.rmtree(copy)


@pytest.mark.parametrize(
    ("field", "named"),
    [
        ("num_items", "item_vectors"),
        ("num_queries", "query_keys"),
        ("num_indexed", "index_items"),
        ("dim", "item_vectors"),
    ],
)
def test_a_count_that_does_not_fit_is_found(generation: Generation, field: str, named: str) -> None:
    """Even where every checksum is right."""
    manifest = generation.manifest
    setattr(manifest, field, getattr(manifest, field) + 1)
    (generation.path / MANIFEST_NAME).write_text(
        json_format.MessageToJson(manifest, preserving_proto_field_name=True)
    )

    with pytest.raises(GenerationCorrupt, match=named):
        open_generation(generation.path)


def test_an_array_of_another_type_is_found(generation: Generation) -> None:
    """A float64 array has the right shape and twice the bytes."""
    array = np.load(generation.path / "item_vectors.npy").astype(np.float64)
    GenerationWriter(generation.path).add_array("item_vectors", array)
    (generation.path / MANIFEST_NAME).unlink()
    GenerationWriter(generation.path).seal(generation.manifest)

    with pytest.raises(GenerationCorrupt, match="float64"):
        open_generation(generation.path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format_version": "x"}', "\x00\xff"])
def test_a_manifest_that_is_none_is_found(generation: Generation, text: str) -> None:
    """And named."""
    (generation.path / MANIFEST_NAME).write_bytes(text.encode("latin-1"))

    with pytest.raises(GenerationCorrupt, match=r"manifest\.json|generation format 0"):
        read_manifest(generation.path)


def test_a_newer_format_is_refused_with_what_to_do(generation: Generation) -> None:
    """Not guessed at."""
    generation.manifest.format_version = 99
    (generation.path / MANIFEST_NAME).write_text(json_format.MessageToJson(generation.manifest))

    with pytest.raises(GenerationCorrupt, match="format 99"):
        open_generation(generation.path)


def test_texts_are_encoded_as_the_generation_was_trained(generation: Generation) -> None:
    """One from before words were cut is asked with whole words, where that differs."""
    generation.encoder[BAG] = np.random.default_rng(0).random(
        generation.encoder[BAG].shape, np.float32
    )
    new = generation.text_encoder()
    generation.manifest.format_version = SPACED_WORDS_VERSION
    old = generation.text_encoder()

    assert (old.encode("red shoes") == new.encode("red shoes")).all()
    whole = TextEncoder(generation.encoder, cuts_words=False)
    assert (old.contents(["红鞋"], "query") == whole.contents(["红鞋"], "query")).all()
    assert not (old.encode("红鞋") == new.encode("红鞋")).all()


def test_another_text_encoder_than_the_generation_was_made_with_is_refused(
    generation: Generation,
) -> None:
    """Its vectors would be compared with others; the message says what to install."""
    wanted = generation.manifest.pretrained_text
    wanted.name, wanted.version, wanted.sha256 = "wordllama", "0.0.1", "0" * 64
    with pytest.raises(PretrainedTextUnusable, match=r"install wordllama==0\.0\.1"):
        generation.text_encoder()

    wanted.name = "another"
    with pytest.raises(PretrainedTextUnusable, match=r"pip install 'freshet\[text\]'"):
        generation.text_encoder()


def test_a_field_from_the_future_is_ignored(generation: Generation) -> None:
    """A newer writer of the same format may add to the manifest."""
    path = generation.path / MANIFEST_NAME
    path.write_text(path.read_text().replace("{", '{"added_later": 1,', 1))

    assert open_generation(generation.path).id == generation.id


def test_without_verification_contents_are_taken_on_trust(generation: Generation) -> None:
    """For tools that only list."""
    flip(generation.path / "item_vectors.npy")

    open_generation(generation.path, verify=False)
    with pytest.raises(GenerationCorrupt):
        open_generation(generation.path)


def test_every_file_is_told_about(generation: Generation) -> None:
    """So that a server can say how far it is."""
    told: list[str] = []

    open_generation(generation.path, on_file=lambda path: told.append(path.name))

    assert told == [entry.name for entry in generation.manifest.files]


def test_a_missing_generation_is_retriable(tmp_path: Path) -> None:
    """It may appear."""
    with pytest.raises(GenerationMissing, match="no generation") as caught:
        open_generation(tmp_path / "none")

    assert caught.value.retriable


def test_strings_of_any_kind_come_back(tmp_path: Path) -> None:
    """Empty ones, other scripts, line ends."""
    strings = ["", "a", "日本語", "two\nlines", "", "🛒" * 1000]
    writer = GenerationWriter(tmp_path)
    writer.add_strings("names", strings)
    offsets = np.load(tmp_path / "names.offsets.npy")
    table = StringTable(
        offsets, np.frombuffer((tmp_path / "names.utf8").read_bytes(), dtype=np.uint8)
    )

    assert list(table) == [table[index] for index in range(len(table))] == strings
    assert table[-1] == strings[-1]
    assert table[1:3] == strings[1:3]
    with pytest.raises(IndexError):
        table[len(strings)]


def test_ids_sort_by_time_and_differ() -> None:
    """Down to the millisecond; within it they only differ."""
    times_ms = [1_700_000_000_000, 1_700_000_000_001, 1_700_000_000_999, 1_700_000_001_000]
    ids = [new_generation_id(ms) for ms in times_ms]

    assert ids == sorted(ids)
    assert ids[0].startswith("20231114T221320Z-")
    assert len({new_generation_id(times_ms[2]) for _ in range(50)}) > 40


def test_a_new_folder_has_no_generations(tmp_path: Path) -> None:
    """And none is current."""
    store = ArtifactStore(tmp_path / "none")

    assert store.generation_ids() == []
    assert store.current_id() is None


def test_unfinished_generations_are_not_listed(
    generation: Generation, artifacts: ArtifactStore
) -> None:
    """A temporary folder of a writer that died is none."""
    (artifacts.root / "generations" / f".{generation.id}.0123.tmp").mkdir()

    assert artifacts.generation_ids() == [generation.id]


@pytest.mark.parametrize("text", ["", "latest", "../../etc", "20231114T221320Z-xyz"])
def test_a_pointer_that_holds_no_id_is_refused(tmp_path: Path, text: str) -> None:
    """With how to mend it."""
    (tmp_path / "CURRENT").write_text(text)

    with pytest.raises(ArtifactError, match="freshet generations use"):
        ArtifactStore(tmp_path).current_id()


def test_the_live_generation_cannot_be_removed(
    generation: Generation, artifacts: ArtifactStore
) -> None:
    """Whoever asks."""
    with pytest.raises(ArtifactError, match="current"):
        artifacts.remove(generation.id)

    assert artifacts.generation_ids() == [generation.id]


def test_a_manifest_can_be_read_alone(generation: Generation, artifacts: ArtifactStore) -> None:
    """For listings."""
    manifest = artifacts.manifest(generation.id)

    assert isinstance(manifest, manifest_pb.Generation)
    assert manifest.generation_id == generation.id


def test_a_generation_from_before_engines_had_names_answers_as_it_did() -> None:
    """By Annoy, with the search_k that servers had; what it answered then is here."""
    generation = open_generation(GOLDEN)
    answered = {
        "new violet notebook": ["kettle-amber", "notebook-green", "notebook-violet"],
        "large red kettle": ["kettle-red", "kettle-violet", "kettle-blue"],
        "best small amber backpack": ["backpack-green", "notebook-green", "backpack-amber"],
    }

    index = generation.open_index()

    assert generation.index_path.name == "index.ann"
    assert generation.search_k == 10_000
    for text, item_ids in answered.items():
        row = generation.find_query(text)
        assert row is not None
        ids, _ = index.search(generation.query_vectors[row], 3)
        assert [generation.item_ids[generation.index_items[each]] for each in ids] == item_ids


def test_a_generation_from_before_channels_had_names_has_those_of_then() -> None:
    """The columns of its attention are theirs."""
    generation = open_generation(GOLDEN)

    assert not generation.manifest.channels
    assert generation.channels == ("text", "bipartite", "hypergraph")


def test_attention_of_another_width_than_the_channels_is_refused(generation: Generation) -> None:
    """A weight of a channel without a name explains nothing."""
    generation.manifest.channels.append("images")
    (generation.path / MANIFEST_NAME).write_text(json_format.MessageToJson(generation.manifest))

    with pytest.raises(GenerationCorrupt, match="channel_attention_items"):
        open_generation(generation.path)


def test_a_file_that_ranks_by_another_metric_is_refused(generation: Generation) -> None:
    """Annoy would load the file and rank wrongly."""
    generation.manifest.metric = "angular"

    with pytest.raises(GenerationCorrupt, match="metric 'angular'; this code reads 'cosine'"):
        generation.open_index()


def test_an_engine_of_another_version_is_refused(generation: Generation) -> None:
    """With what to do; its file is not guessed at."""
    generation.manifest.index.engine = "tomorrow"

    with pytest.raises(GenerationCorrupt, match=r"'tomorrow' is not known.*train again"):
        generation.open_index()


def test_an_item_is_found_with_and_without_stored_keys(generation: Generation) -> None:
    """A generation from before they were stored is searched by its ids."""
    assert generation.item_keys is not None
    older = dataclasses.replace(generation, item_keys=None)

    for row, item_id in enumerate(generation.item_ids):
        assert generation.find_item(item_id) == older.find_item(item_id) == row
    assert generation.find_item("nobody's") is None
    assert older.find_item("nobody's") is None
