"""The index is chosen by measurement, and the same each time."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.artifact.index.engine import load_engine
from model.artifact.index.engines import candidates
from model.artifact.index.indexed import IndexedVectors
from model.publishing.index import choice
from model.publishing.index.choice import ChosenIndex, build_index
from model.publishing.index.questions import Kind
from model.publishing.index.recall import exact_answers
from model.publishing.index.timing import Timed, time_searches
from model.settings import ModelSettings
from stream.dtypes import Float32s
from testing.vectors import DIM, clustered_vectors

COUNT = 5000  # more than are scanned without a question
AUTO = ModelSettings(seed=1)


@pytest.fixture(scope="module")
def vectors() -> Float32s:
    """Return so many that `auto` has a choice."""
    return clustered_vectors(COUNT)


@pytest.fixture(scope="module")
def questions() -> Mapping[Kind, Float32s]:
    """Return some of each kind."""
    return {kind: clustered_vectors(60, seed=place) for place, kind in enumerate(Kind, start=7)}


def costing(monkeypatch: pytest.MonkeyPatch, **microseconds: float) -> None:
    """Let a search cost what it is said to, by engine."""

    def timed(indexes: Sequence[Timed], vectors: Float32s, asked: Float32s) -> list[float]:
        assert len(vectors) == COUNT
        assert asked.shape[1] == DIM
        return [microseconds[each.engine] for each in indexes]

    monkeypatch.setattr(choice, "time_searches", timed)


def recalls(
    chosen: ChosenIndex, vectors: Float32s, questions: Mapping[Kind, Float32s], folder: Path
) -> dict[Kind, float]:
    """Return what the file that was written finds, searched as the manifest says."""
    engine, manifest = load_engine(chosen.trial.engine), chosen.manifest()
    index = engine.open(folder / engine.file_name, IndexedVectors(vectors), manifest.search_k)
    return {kind: exact_answers(vectors, asked).recall(index) for kind, asked in questions.items()}


def test_the_cheaper_engine_is_searched_as_wide_as_it_must(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    vectors: Float32s,
    questions: Mapping[Kind, Float32s],
) -> None:
    """It finds enough of each kind, and the next narrower search that was tried does
    not, which is not much narrower.
    """
    costing(monkeypatch, exact=200.0, ivf=90.0)

    chosen = build_index(vectors, questions, tmp_path, AUTO)

    assert chosen.trial.engine == "ivf"
    assert chosen.trial.recalls == recalls(chosen, vectors, questions, tmp_path)
    assert chosen.trial.recall >= AUTO.recall_at_10
    tried = [each for each in chosen.trials if each.engine == "ivf"]
    narrower = [each for each in tried if each.search_k < chosen.trial.search_k]
    assert tried == sorted(tried, key=lambda each: each.search_k)
    assert narrower
    assert all(each.recall < chosen.trial.recall for each in narrower)
    assert chosen.trial.search_k <= max(narrower[-1].search_k * 1.2, narrower[-1].search_k + 1)
    assert [path.name for path in tmp_path.iterdir()] == ["index.ivf"]


def test_near_ties_go_to_the_simplest(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    vectors: Float32s,
    questions: Mapping[Kind, Float32s],
) -> None:
    """The noise of timing makes no two generations of one log differ."""
    costing(monkeypatch, exact=100.0, ivf=60.0)

    chosen = build_index(vectors, questions, tmp_path, AUTO)

    assert (chosen.trial.engine, chosen.trial.search_k) == ("exact", 0)
    assert [path.name for path in tmp_path.iterdir()] == ["index.npy"]


def test_what_finds_too_little_is_not_chosen_however_cheap(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One kind that it misses is enough: the newest items count by themselves."""
    rng = np.random.default_rng(3)
    hard = rng.normal(size=(COUNT, DIM)).astype(np.float32)
    hard /= np.linalg.norm(hard, axis=1, keepdims=True)
    easy = hard[:60]
    far = -hard[:: COUNT // 60].mean(axis=0) + 0.01 * hard[60:120]
    far /= np.linalg.norm(far, axis=1, keepdims=True)
    monkeypatch.setattr("model.artifact.index.ivf._WIDEST_SHARE", 0.02)
    costing(monkeypatch, exact=1000.0, ivf=1.0)

    chosen = build_index(hard, {Kind.KNOWN: easy, Kind.NEWEST: far}, tmp_path, AUTO)

    assert chosen.trial.engine == "exact"
    assert chosen.trial.recall == 1.0


def test_the_same_vectors_are_searched_alike_each_time(
    tmp_path: Path, vectors: Float32s, questions: Mapping[Kind, Float32s]
) -> None:
    """Recall is the same each time; only microseconds are not."""
    settings = replace(AUTO, index_engine="ivf")
    made = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        made.append(build_index(vectors, questions, tmp_path / name, settings))

    assert made[0].trial.search_k == made[1].trial.search_k
    assert [replace(trial, cpu_microseconds=0.0) for trial in made[0].trials] == [
        replace(trial, cpu_microseconds=0.0) for trial in made[1].trials
    ]
    assert all(trial.cpu_microseconds > 0 for trial in made[0].trials)
    assert (tmp_path / "a/index.ivf").read_bytes() == (tmp_path / "b/index.ivf").read_bytes()


def test_a_wish_for_more_is_searched_wider(
    tmp_path: Path, vectors: Float32s, questions: Mapping[Kind, Float32s]
) -> None:
    """And one for less narrower."""
    found = {
        wanted: build_index(
            vectors,
            questions,
            tmp_path,
            replace(AUTO, index_engine="annoy", num_trees=5, recall_at_10=wanted),
        )
        for wanted in (0.5, 0.99)
    }

    assert found[0.5].trial.search_k < found[0.99].trial.search_k
    assert found[0.99].trial.recall >= 0.99


def test_a_setting_of_the_operators_is_the_one_that_is_measured(
    tmp_path: Path, vectors: Float32s, questions: Mapping[Kind, Float32s]
) -> None:
    """However little it finds: the gate says so."""
    settings = replace(AUTO, index_engine="ivf", index_search_k=2)

    chosen = build_index(vectors, questions, tmp_path, settings)

    assert [each.search_k for each in chosen.trials] == [2]
    assert chosen.trial.recalls == recalls(chosen, vectors, questions, tmp_path)


@pytest.mark.parametrize("count", [0, 1, 50])
def test_a_small_catalogue_is_scanned(tmp_path: Path, count: int) -> None:
    """Nothing is timed where nothing is to be chosen."""
    vectors = clustered_vectors(50)[:count]
    questions = {Kind.KNOWN: clustered_vectors(5), Kind.UNSEEN: vectors[:0]}

    chosen = build_index(vectors, questions, tmp_path, AUTO)

    assert chosen.trial.engine == "exact"
    assert chosen.figures == {"index_recall_10": 1.0, "index_recall_10_known": 1.0}
    assert [trial.cpu_microseconds for trial in chosen.manifest().trials] == [0.0]


def test_only_large_catalogues_have_a_choice() -> None:
    """And who names an engine has it."""
    assert candidates("auto", 100) == ("exact",)
    assert candidates("auto", 100_000) == ("exact", "ivf")
    assert candidates("annoy", 100) == candidates("annoy", 100_000) == ("annoy",)


def test_a_scan_of_more_costs_more(tmp_path: Path, vectors: Float32s) -> None:
    """Timed in a process of its own, as a server searches."""
    engine, costs = load_engine("exact"), []
    for count in (100, COUNT):
        many = np.repeat(vectors[:count], 10, axis=0)
        path = tmp_path / f"index-{count}"
        engine.build(many, path, AUTO)
        timed = Timed(engine="exact", path=path, search_k=0)
        costs += time_searches([timed], many, vectors[:20])

    assert 0 < costs[0] < costs[1]
