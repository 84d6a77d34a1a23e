"""What holds for every index engine: deterministic, verified, close to exact."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from model.artifact.index.engine import Engine, load_engine
from model.artifact.index.engines import ENGINES
from model.artifact.index.hidden import Hidden
from model.artifact.index.indexed import IndexedVectors
from model.errors import ArtifactError, GenerationCorrupt
from model.settings import ModelSettings
from stream.dtypes import Float32s
from testing.vectors import DIM, MakeIndex, clustered_vectors, width


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    """Return each engine of the table in turn."""
    return load_engine(request.param)


def test_results_are_the_exact_ones_with_their_cosines(
    engine: Engine, make_index: MakeIndex, vectors: Float32s
) -> None:
    """A small index is exact for nearly every query."""
    index, found = make_index(engine, vectors), 0
    for query in clustered_vectors(100, seed=2):
        ids, scores = index.search(query, 10)
        exact = vectors @ query

        assert scores == pytest.approx(exact[ids], abs=1e-5)
        assert (np.diff(scores) <= 0).all()
        assert ids.dtype == np.int64
        assert scores.dtype == np.float32
        found += len(set(ids.tolist()) & set(np.argsort(-exact)[:10].tolist()))

    assert found / 1000 > 0.99


def test_the_same_vectors_and_seed_give_the_same_bytes(
    engine: Engine, vectors: Float32s, tmp_path: Path
) -> None:
    """A generation can be made again."""
    for name in ("a", "b"):
        engine.build(vectors, tmp_path / name, ModelSettings(num_trees=3, seed=5))

    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_asking_for_more_than_there_is_gives_all(engine: Engine, make_index: MakeIndex) -> None:
    """The number asked for is a wish."""
    ids, scores = make_index(engine, clustered_vectors(7)).search(clustered_vectors(1)[0], 100)

    assert sorted(ids.tolist()) == list(range(7))
    assert len(scores) == 7


@pytest.mark.parametrize("share", [0.01, 0.3, 0.999, 1.0])
def test_what_is_hidden_costs_no_places(
    engine: Engine, make_index: MakeIndex, vectors: Float32s, share: float
) -> None:
    """Others are found instead, as many as there are."""
    index, random = make_index(engine, vectors), np.random.default_rng(4)
    count = round(share * len(vectors))
    query = clustered_vectors(1, seed=2)[0]
    nearest = np.argsort(-(vectors @ query))[:count]
    for ids in (nearest, random.choice(len(vectors), count, replace=False)):
        hidden = Hidden(np.sort(ids), len(vectors))
        found, scores = index.search(query, 10, hidden)

        assert len(found) == len(scores) == min(10, len(vectors) - count)
        assert not {*found.tolist()} & {*ids.tolist()}
        assert scores == pytest.approx((vectors @ query)[found], abs=1e-5)


def test_an_index_of_some_vectors_answers_with_its_own_ids(
    engine: Engine, tmp_path: Path, vectors: Float32s
) -> None:
    """Items that may not be shown lie among the others, and are in no index."""
    rows = np.flatnonzero(np.arange(len(vectors)) % 3 > 0)
    path, settings = tmp_path / engine.file_name, ModelSettings(num_trees=10, seed=1)
    engine.build(vectors[rows], path, settings)
    search_k = width(engine, len(rows), settings)
    among, alone = (
        engine.open(path, indexed, search_k)
        for indexed in (IndexedVectors(vectors, rows), IndexedVectors(vectors[rows]))
    )

    assert len(among) == len(rows)
    for query in vectors[:50]:
        found, expected = among.search(query, 10), alone.search(query, 10)
        assert np.array_equal(found[0], expected[0])
        assert np.array_equal(found[1], expected[1])


def test_an_index_of_nothing_answers_nothing(engine: Engine, make_index: MakeIndex) -> None:
    """A shop may have no item to show."""
    index = make_index(engine, np.zeros((0, DIM), dtype=np.float32))

    ids, scores = index.search(clustered_vectors(1)[0], 10)

    assert len(index) == len(ids) == len(scores) == 0


def test_a_file_with_another_number_of_vectors_is_refused(
    engine: Engine,
    make_index: MakeIndex,
    vectors: Float32s,
    tmp_path: Path,
) -> None:
    """Annoy itself would load it."""
    make_index(engine, vectors)

    with pytest.raises(GenerationCorrupt, match=r"holds .*3000.*, not .*2999"):
        engine.open(tmp_path / engine.file_name, IndexedVectors(vectors[1:]), 1)


def test_a_file_cut_short_is_refused(
    engine: Engine,
    make_index: MakeIndex,
    vectors: Float32s,
    tmp_path: Path,
) -> None:
    """Cut at a node boundary Annoy loads it "successfully"."""
    make_index(engine, vectors)
    path = tmp_path / engine.file_name
    node_bytes = 4 * DIM + 12
    content = path.read_bytes()
    path.unlink()  # never write over a file that is mapped
    path.write_bytes(content[: node_bytes * 100])

    with pytest.raises(GenerationCorrupt, match=str(path)):
        engine.open(path, IndexedVectors(vectors), 1)


def test_a_missing_file_is_refused(engine: Engine, tmp_path: Path) -> None:
    """With our error, not the library's."""
    with pytest.raises(GenerationCorrupt, match="cannot be loaded"):
        engine.open(tmp_path / "none", IndexedVectors(clustered_vectors(5)), 1)


@pytest.mark.parametrize(
    ("vector", "k"),
    [
        (np.full(DIM, np.nan, dtype=np.float32), 10),
        (np.full(DIM, np.inf, dtype=np.float32), 10),
        (np.zeros(DIM + 1, dtype=np.float32), 10),
        (np.zeros(DIM, dtype=np.float32), 0),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(
    engine: Engine, make_index: MakeIndex, vectors: Float32s, vector: Float32s, k: int
) -> None:
    """Annoy would answer NaN with items."""
    index = make_index(engine, vectors)

    with pytest.raises(ValueError, match=r"query vector|k is"):
        index.search(vector, k)


def test_threads_get_the_answers_that_one_gets(
    engine: Engine, make_index: MakeIndex, vectors: Float32s
) -> None:
    """A search leaves nothing behind in the index."""
    index, queries = make_index(engine, vectors), clustered_vectors(200, seed=3)
    alone = [index.search(query, 10) for query in queries]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda query: index.search(query, 10), queries))

    for (ids, scores), (other_ids, other_scores) in zip(alone, together, strict=True):
        assert np.array_equal(ids, other_ids)
        assert np.array_equal(scores, other_scores)


@pytest.mark.parametrize(("num", "dim", "trees"), [(3000, 16, 10), (500, 64, 40), (0, 16, 5)])
def test_the_estimate_is_about_the_file(
    engine: Engine, tmp_path: Path, num: int, dim: int, trees: int
) -> None:
    """Never much less, and not twice as much."""
    settings = ModelSettings(num_trees=trees)
    engine.build(clustered_vectors(num, dim=dim), tmp_path / "file", settings)
    size = (tmp_path / "file").stat().st_size
    cost = engine.estimate(num, dim, settings)

    assert 0.9 * size <= cost.file_bytes <= 1.5 * size
    assert cost.build_bytes >= 0
    assert cost.build_seconds >= 0


def test_each_engine_has_a_file_of_its_own() -> None:
    """None is ever handed another's file."""
    names = [load_engine(name).file_name for name in ENGINES]

    assert len(set(names)) == len(names)


def test_an_engine_that_is_not_in_the_table_is_named() -> None:
    """With those that are."""
    with pytest.raises(GenerationCorrupt, match="'tomorrow' is not known, only annoy, exact, ivf"):
        load_engine("tomorrow")


def test_who_reads_settings_loads_no_engine() -> None:
    """A process that only streams has no index library."""
    code = "import sys, model.settings; print(*sorted(sys.modules))"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()

    assert {"annoy", "numpy"} & set(found) == set()


def test_an_engine_whose_library_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to install."""
    monkeypatch.setitem(sys.modules, "annoy", None)
    monkeypatch.delitem(sys.modules, "model.artifact.index.annoy", raising=False)

    with pytest.raises(ArtifactError, match=r"needs annoy.*pip install 'freshet\[server\]'"):
        load_engine("annoy")
