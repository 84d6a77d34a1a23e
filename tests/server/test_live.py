"""What is checked before a generation goes live."""

import gc
import shutil
import subprocess
import sys
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.artifact.arrays.array_file import map_arrays, write_arrays
from model.artifact.index.annoy import ENGINE, AnnoyVectors
from model.artifact.index.engines import ENGINES
from model.artifact.index.indexed import IndexedVectors
from model.artifact.manifest import MANIFEST_NAME
from model.artifact.private_files import HAS_PRIVATE_FILES
from model.artifact.writer import GenerationWriter
from model.errors import GenerationCorrupt, GenerationMissing
from model.settings import ModelSettings
from server.errors import CanaryFailed
from server.live import LiveGeneration, canary_vectors
from server.settings import ServerSettings
from testing.small_generations import (
    DIM,
    GOLDEN,
    INDEX_NAME,
    INDEXED,
    NOW_MS,
    Artifacts,
    make_catalogue,
)

QUERIES = [f"query {number}" for number in range(40)]


def load(artifacts: Artifacts, generation_id: str, **settings: float) -> LiveGeneration:
    """Load a generation of `artifacts`."""
    made = ServerSettings(**settings)  # type: ignore[arg-type]
    return LiveGeneration.load(
        artifacts.store.generation_path(generation_id), made, clock_ms=lambda: NOW_MS
    )


def test_every_file_is_read_before_the_index_is_mapped(artifacts: Artifacts) -> None:
    """Each file of the manifest, the index among them, is read
    through while verifying.
    """
    path = artifacts.store.generation_path(artifacts.write(make_catalogue(50, QUERIES)))
    read: list[str] = []

    live = LiveGeneration.load(path, ServerSettings(), on_file=lambda file: read.append(file.name))

    assert sorted(read) == sorted(entry.name for entry in live.generation.manifest.files)
    assert INDEX_NAME in read


SEARCH_AFTER_EMPTYING = """
import os, sys
from pathlib import Path
from server.live import LiveGeneration, canary_vectors
from server.settings import ServerSettings

live = LiveGeneration.load(Path(sys.argv[1]), ServerSettings())
for file in Path(sys.argv[1]).iterdir():
    os.truncate(file, 0)
found = [live.index.search(vector, 3)[0] for vector in canary_vectors(live.generation, 40)]
rows = [row for ids in found for row in live.generation.index_items[ids]]
titles = [live.generation.item_titles[row] for row in rows]
print(len(titles), live.generation.find_query("query 7"), live.encoder.encode("new").shape)
"""


@pytest.mark.skipif(not HAS_PRIVATE_FILES, reason="the system has no files in memory")
@pytest.mark.parametrize("engine", ENGINES)
def test_files_that_are_copied_over_do_not_end_the_process(
    artifacts: Artifacts, engine: str
) -> None:
    """`cp` shortens a file before it writes it again: whoever has it
    mapped dies of the next read, so the server serves a copy.
    """
    catalogue = make_catalogue(50, QUERIES)
    catalogue.settings = ModelSettings(index_engine=engine)
    path = artifacts.store.generation_path(artifacts.write(catalogue))

    done = subprocess.run(
        [sys.executable, "-c", SEARCH_AFTER_EMPTYING, str(path)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == "120"


def test_a_generation_can_be_mapped_where_it_lies(artifacts: Artifacts) -> None:
    """For a machine whose memory does not hold two generations."""
    path = artifacts.store.generation_path(artifacts.write(make_catalogue(50, QUERIES)))

    mapped = LiveGeneration.load(path, ServerSettings(copy_to_memory=False)).generation
    copied = LiveGeneration.load(path, ServerSettings(copy_to_memory=True)).generation
    (path / "item_vectors.npy").write_bytes(
        (path / "item_vectors.npy").read_bytes()[:-4] + bytes(4)
    )

    assert mapped.item_vectors[-1, -1] == 0
    assert copied.item_vectors[-1, -1] != 0


def test_a_missing_generation_is_named(artifacts: Artifacts) -> None:
    """A folder that is not there is reported as missing."""
    with pytest.raises(GenerationMissing, match="20260101T000000Z-abcdef"):
        load(artifacts, "20260101T000000Z-abcdef")


@pytest.mark.parametrize(
    "name", [INDEX_NAME, "item_vectors.npy", "item_ids.utf8", "encoder.bag.npy"]
)
def test_a_damaged_file_is_named(artifacts: Artifacts, name: str) -> None:
    """A flipped byte in any file is noticed before anything is mapped."""
    generation_id = artifacts.write(make_catalogue(50, QUERIES))
    artifacts.damage(generation_id, name)

    with pytest.raises(GenerationCorrupt, match=name):
        load(artifacts, generation_id)


def test_a_generation_under_another_name_is_refused(artifacts: Artifacts) -> None:
    """A receipt must not name a generation that is not in its folder."""
    generation_id = artifacts.write(make_catalogue(50, QUERIES))
    other = "20260101T000000Z-abcdef"
    artifacts.store.generation_path(generation_id).rename(artifacts.store.generation_path(other))

    with pytest.raises(GenerationCorrupt, match=generation_id):
        load(artifacts, other)


def _replace_array(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def break_it(folder: Path) -> None:
        GenerationWriter(folder).add_array(name, change(np.load(folder / f"{name}.npy")))

    return break_it


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (_replace_array("query_keys", lambda keys: keys[::-1]), "ascending"),
        (_replace_array("index_items", lambda items: items + 1), "does not have"),
        (_replace_array("item_shown", np.zeros_like), "must not be shown"),
        (lambda folder: (folder / INDEX_NAME).unlink(), INDEX_NAME),
    ],
)
def test_a_sealed_contradiction_is_refused(
    artifacts: Artifacts, break_it: Callable[[Path], None], words: str
) -> None:
    """What the manifest vouches for must also make sense together."""
    generation_id = artifacts.write(make_catalogue(50, QUERIES), break_it=break_it)

    with pytest.raises(GenerationCorrupt, match=words):
        load(artifacts, generation_id)


def test_an_index_of_other_vectors_fails_its_canaries(artifacts: Artifacts) -> None:
    """An index whose scores are not those of the item vectors is refused, however
    well-formed.
    """

    def break_it(folder: Path) -> None:
        (folder / INDEX_NAME).unlink()
        vectors = make_catalogue(50, seed=9).item_vectors
        ENGINE.build(vectors, folder / INDEX_NAME, ModelSettings(num_trees=10, seed=1))

    generation_id = artifacts.write(make_catalogue(50, QUERIES), break_it=break_it)

    with pytest.raises(CanaryFailed, match="was not built from its item vectors"):
        load(artifacts, generation_id)


def test_an_index_that_finds_too_little_fails_its_canaries(artifacts: Artifacts) -> None:
    """An index that looks at too few candidates to find the nearest item is refused."""
    generation_id = artifacts.write(make_catalogue(3000, QUERIES))
    assert len(load(artifacts, generation_id).index) == 3000

    def search_little(folder: Path) -> None:
        (folder / INDEX_NAME).unlink()
        vectors = np.load(folder / "item_vectors.npy")
        ENGINE.build(vectors, folder / INDEX_NAME, ModelSettings(num_trees=1, seed=1))

    little = make_catalogue(3000, QUERIES)
    little.settings = replace(INDEXED, index_search_k=1)
    poor = artifacts.write(little, break_it=search_little)
    with pytest.raises(CanaryFailed, match="found the nearest item of"):
        load(artifacts, poor)


def test_a_library_of_an_engine_that_is_missing_stops_the_start() -> None:
    """With what to install; not the swap to a generation that needs it."""
    code = "import sys; sys.modules['annoy'] = None; import server.app"
    outcome = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )

    assert outcome.returncode == 1
    assert "index engine 'annoy' needs annoy, which is not installed" in outcome.stderr


def test_the_index_is_searched_as_the_gate_searched_it(
    artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the setting that recall was measured with, and no other."""
    catalogue = make_catalogue(50, QUERIES)
    catalogue.settings = replace(INDEXED, index_search_k=777)
    seen: list[int] = []

    def opened(path: Path, indexed: IndexedVectors, search_k: int) -> AnnoyVectors:
        seen.append(search_k)
        return AnnoyVectors(path, indexed.dim, len(indexed), search_k)

    monkeypatch.setattr(ENGINE, "open", opened)
    load(artifacts, artifacts.write(catalogue))

    assert seen == [777]


@pytest.mark.parametrize(("engine", "name"), [("exact", "index.npy"), ("ivf", "index.ivf")])
def test_a_generation_of_another_engine_answers(
    artifacts: Artifacts, engine: str, name: str
) -> None:
    """Its file, its canaries, its ranking."""
    catalogue = make_catalogue(50, QUERIES)
    catalogue.settings = ModelSettings(index_engine=engine, index_search_k=50)

    live = load(artifacts, artifacts.write(catalogue))

    assert live.generation.index_path.name == name
    ids, _ = live.index.search(catalogue.query_vectors[3], 10)
    assert [live.generation.item_ids[item] for item in ids.tolist()] == [
        f"{live.generation.id}/{item}" for item in catalogue.exact(catalogue.query_vectors[3], 10)
    ]


def test_a_generation_whose_index_has_vectors_of_its_own_answers(artifacts: Artifacts) -> None:
    """As those of format version 2 have: the same items, with the same scores."""
    catalogue = make_catalogue(200, QUERIES)
    catalogue.hidden = frozenset(range(0, 200, 7))
    catalogue.item_ids = [f"i-{item}" for item in range(200)]
    catalogue.settings = ModelSettings(index_engine="ivf", index_search_k=3)
    layout = {"centres": (np.float32, 2), "starts": (np.int64, 1), "ids": (np.int64, 1)}

    def as_before(folder: Path) -> None:
        index, vectors = folder / "index.ivf", np.load(folder / "item_vectors.npy")
        arrays = map_arrays(index, layout)
        index.unlink()
        indexed = vectors[np.load(folder / "index_items.npy")]
        write_arrays(index, {**arrays, "vectors": indexed[arrays["ids"]]})

    new, old = artifacts.write(catalogue), artifacts.write(catalogue, break_it=as_before)
    manifest = artifacts.store.generation_path(old) / MANIFEST_NAME
    text = manifest.read_text()
    manifest.write_text(text.replace('"format_version": 3', '"format_version": 2'))
    after, before = (load(artifacts, each, canary_floor=0.0) for each in (new, old))

    assert before.generation.manifest.format_version == 2
    assert len(before.index) == len(after.index) < 200
    for query in catalogue.query_vectors:
        found, expected = before.index.search(query, 10), after.index.search(query, 10)
        assert np.array_equal(found[0], expected[0])
        assert np.array_equal(found[1], expected[1])


def test_a_generation_from_before_engines_had_names_goes_live(artifacts: Artifacts) -> None:
    """It passes all checks, searched with what servers searched with then."""
    shutil.copytree(GOLDEN, artifacts.store.generation_path(GOLDEN.name))

    live = load(artifacts, GOLDEN.name)

    assert len(live.index) == live.generation.manifest.num_indexed == 28


def test_vectors_that_are_not_finite_fail(artifacts: Artifacts) -> None:
    """NaN in the query vectors is refused."""
    catalogue = make_catalogue(50, QUERIES)
    catalogue.query_vectors[:] = np.nan

    with pytest.raises(GenerationCorrupt, match="not finite"):
        load(artifacts, artifacts.write(catalogue))


def test_an_encoder_without_unit_vectors_fails(artifacts: Artifacts) -> None:
    """An encoder that makes NaN is refused before a query meets it."""
    broken = _replace_array("encoder.query.out_bias", lambda bias: np.full_like(bias, np.nan))
    generation_id = artifacts.write(make_catalogue(50, QUERIES), break_it=broken)

    with pytest.raises(GenerationCorrupt, match="not finite"):
        load(artifacts, generation_id)


@pytest.mark.parametrize(
    ("num_items", "queries"), [(1, ["one"]), (5, []), (0, []), (0, ["lonely"])]
)
def test_the_smallest_generations_load(
    artifacts: Artifacts, num_items: int, queries: list[str]
) -> None:
    """One item, no queries, or nothing at all is no reason to refuse."""
    live = load(artifacts, artifacts.write(make_catalogue(num_items, queries)))

    assert len(live.index) == num_items
    assert live.live_since_ms == NOW_MS


def test_probes_are_spread_and_different(artifacts: Artifacts) -> None:
    """Probe vectors are different rows from all over the table, never more than there
    are.
    """
    live = load(artifacts, artifacts.write(make_catalogue(50, QUERIES)))

    assert canary_vectors(live.generation, 1000).shape == (len(QUERIES), DIM)
    some = canary_vectors(live.generation, 4)
    assert np.array_equal(some, live.generation.query_vectors[[0, 10, 20, 30]])
    assert canary_vectors(live.generation, 0).shape == (0, DIM)


def test_the_index_goes_with_its_last_reader(artifacts: Artifacts) -> None:
    """Nothing but its readers keeps a generation mapped."""
    live = load(artifacts, artifacts.write(make_catalogue(50, QUERIES)))
    reader, watched = live, weakref.ref(live.index)

    del live
    assert watched() is not None
    del reader
    gc.collect()
    assert watched() is None
