"""Resuming a training that was killed: the very model of one that never was."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import msgspec
import numpy as np
import pytest

from model.artifact.generation import Generation, open_generation
from model.artifact.store import ArtifactStore
from model.errors import GateRefused, TrainingCancelled
from model.publishing.gate import Verdict
from model.publishing.refresh import SnapshotInput, train_and_publish
from model.ranking import Quality
from model.settings import ModelSettings
from model.training.result import TrainedModel, TrainingProgress
from model.training.saved_state import SavedTraining, TrainingState, _read, training_key
from model.training.train import train
from stream.graph.arrays import GraphArrays
from stream.graph.attributes import attribute_columns
from stream.reading.reader import open_graph
from stream.reading.snapshot import take_snapshot
from stream.settings import StreamSettings
from testing.small_shop import NOW_MS, MakeArrays, fill_store, shop_events, shop_items, snapshot_of

ROOT = Path(__file__).resolve().parents[3]
PASSES = 5
STATE = TrainingState(
    passes=2,
    steps=20,
    bad_passes=1,
    seconds=0.1,
    best=Quality(num_queries=3, num_edges=4, mrr=1 / 3, recall_10=0.5, recall_100=0.6, ndcg_10=0.1),
    batch_order=np.random.default_rng(3).bit_generator.state,
    learner={"ids": np.arange(40, dtype=np.float32)},
    best_weights={"ids": np.ones(40, dtype=np.float32)},
)


@pytest.fixture(scope="module")
def short(settings: ModelSettings) -> ModelSettings:
    """Return settings of a few passes whose state is written after each."""
    return replace(
        settings, dim=8, hidden=8, max_passes=PASSES, warm_passes=3, checkpoint_every_seconds=0.0
    )


@pytest.fixture(scope="module")
def whole(arrays: GraphArrays, short: ModelSettings) -> TrainedModel:
    """Return the model of a training that was never killed."""
    return train(arrays, short)


@pytest.fixture
def saved(tmp_path: Path) -> SavedTraining:
    """Return a place for the state of one training."""
    return SavedTraining(tmp_path / "training", "key", 0.0)


class Killed(Exception):
    """Stands in for a kill between two passes."""


def killed_after(passes: int) -> Callable[[TrainingProgress], None]:
    """Return what ends a training once so many passes are done."""

    def on_progress(progress: TrainingProgress) -> None:
        if progress.passes == passes:
            raise Killed

    return on_progress


def folders(saved: SavedTraining) -> list[str]:
    """Return the names of what is in a training's folder."""
    return sorted(path.name for path in saved._folder.iterdir())


def assert_same(left: TrainedModel, right: TrainedModel) -> None:
    """Check that two models are equal to the last bit, and were equally good and long
    in training.
    """
    for name in ("query_vectors", "item_vectors", "query_attention", "item_attention"):
        assert np.array_equal(getattr(left, name), getattr(right, name)), name
    for part in ("encoder", "warm"):
        for name, array in getattr(left, part).items():
            assert np.array_equal(array, getattr(right, part)[name]), name
    assert np.array_equal(left.held_out.item_vectors, right.held_out.item_vectors)
    assert {**left.evaluation, "train_seconds": 0} == {**right.evaluation, "train_seconds": 0}
    assert left.parent == right.parent


@pytest.mark.parametrize("passes", range(1, PASSES + 1))
def test_a_training_killed_after_any_pass_gives_the_same_model(
    whole: TrainedModel,
    arrays: GraphArrays,
    short: ModelSettings,
    saved: SavedTraining,
    passes: int,
) -> None:
    """Passes that were done are not done again."""
    with pytest.raises(Killed):
        train(arrays, short, on_progress=killed_after(passes), saved=saved)
    told: list[TrainingProgress] = []

    resumed = train(arrays, short, on_progress=told.append, saved=saved)

    assert [each.passes for each in told] == list(range(passes + 1, PASSES + 1))
    assert_same(resumed, whole)


def test_a_training_killed_again_and_again_gives_the_same_model(
    whole: TrainedModel, arrays: GraphArrays, short: ModelSettings, saved: SavedTraining
) -> None:
    """One pass a life."""
    for passes in range(1, PASSES):
        with pytest.raises(Killed):
            train(arrays, short, on_progress=killed_after(passes), saved=saved)

    assert_same(train(arrays, short, saved=saved), whole)


def test_a_training_stopped_in_a_pass_repeats_that_pass(
    whole: TrainedModel, arrays: GraphArrays, short: ModelSettings, saved: SavedTraining
) -> None:
    """What is half done leaves no trace."""
    batches = int(whole.evaluation["steps"] / whole.evaluation["passes"])
    assert batches > 1
    asked = iter([*[False] * (2 * batches + 1), True])

    with pytest.raises(TrainingCancelled):
        train(arrays, short, is_cancelled=lambda: next(asked), saved=saved)

    assert folders(saved) == ["000002"]
    assert_same(train(arrays, short, saved=saved), whole)


def test_patience_is_counted_over_a_kill(
    arrays: GraphArrays, short: ModelSettings, saved: SavedTraining
) -> None:
    """Training ends after as many passes without a better one as if it had not been
    killed.
    """
    impatient = replace(short, patience=2, max_passes=40, learning_rate=0.2)
    whole = train(arrays, impatient)
    passes = int(whole.evaluation["passes"])
    assert passes < 40

    for killed in (passes - 1, passes):
        with pytest.raises(Killed):
            train(arrays, impatient, on_progress=killed_after(killed), saved=saved)

    assert_same(train(arrays, impatient, saved=saved), whole)


def test_a_warm_training_that_was_killed_gives_the_same_model(
    generation: Generation, make_arrays: MakeArrays, settings: ModelSettings, saved: SavedTraining
) -> None:
    """Not even the parent, judged before the first pass, is judged again."""
    warm = replace(settings, warm_passes=4)
    later = [replace(event, ts_ms=event.ts_ms + 10**9) for event in shop_events(300, seed=1)]
    arrays = make_arrays([*shop_events(400), *later], shop_items())
    with pytest.raises(Killed):
        train(arrays, warm, warm=generation, on_progress=killed_after(2), saved=saved)

    resumed = train(arrays, warm, warm=generation, saved=saved)

    assert resumed.parent == generation.id
    assert_same(resumed, train(arrays, warm, warm=generation))


def test_the_budget_counts_what_was_spent_before_the_kill(
    arrays: GraphArrays, short: ModelSettings, saved: SavedTraining
) -> None:
    """A training that had used it up publishes what it has.

    It does not begin another budget.
    """
    with pytest.raises(Killed):
        train(arrays, short, on_progress=killed_after(2), saved=saved)
    spent = replace(_read(saved._folder / "000002"), passes=3, seconds=short.budget_seconds)
    saved.save(lambda: spent)

    resumed = train(arrays, short, saved=saved)

    assert resumed.evaluation["passes"] == 3
    assert resumed.evaluation["train_seconds"] >= short.budget_seconds
    assert np.isfinite(resumed.item_vectors).all()


def test_states_are_written_as_often_as_asked(
    arrays: GraphArrays, short: ModelSettings, tmp_path: Path
) -> None:
    """A training of a moment leaves none; only the last one is kept of others."""
    seldom = SavedTraining(tmp_path / "training", "seldom", 3600.0)
    train(arrays, short, saved=seldom)
    assert not (tmp_path / "training").exists()

    often = SavedTraining(tmp_path / "training", "often", 0.0)
    train(arrays, short, saved=often)
    assert folders(often) == [f"{PASSES:06}"]


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    """Lose the end of a file."""
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize("damage", [flip, cut, Path.unlink, lambda path: path.write_text("{}")])
@pytest.mark.parametrize("name", ["state.json", "learner.ids.npy", "best.ids.npy"])
def test_a_damaged_state_is_ignored_and_removed(
    saved: SavedTraining,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path], None],
    name: str,
) -> None:
    """With a warning; training resumes from the one before, which a kill had left."""
    saved.save(lambda: STATE)
    copytree(saved._folder / "000002", saved._folder / "000003")
    damage(saved._folder / "000003" / name)

    state = saved.load(STATE.learner)

    assert state is not None
    assert np.array_equal(state.learner["ids"], STATE.learner["ids"])
    assert (state.batch_order, state.best, state.seconds) == (
        STATE.batch_order,
        STATE.best,
        STATE.seconds,
    )
    assert folders(saved) == ["000002"]
    assert caplog.text.count("training state ignored and removed") == 1


def test_a_state_of_another_network_is_ignored(
    whole: TrainedModel,
    arrays: GraphArrays,
    short: ModelSettings,
    saved: SavedTraining,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Though it is whole, and lies under the same key."""
    with pytest.raises(Killed):
        train(arrays, replace(short, dim=4), on_progress=killed_after(2), saved=saved)

    assert_same(train(arrays, short, saved=saved), whole)
    assert "another network" in caplog.text


@pytest.mark.parametrize("name", ["000009", "123"])
def test_a_foreign_file_is_ignored(
    arrays: GraphArrays, short: ModelSettings, saved: SavedTraining, name: str
) -> None:
    """And training resumes from the state beside it."""
    with pytest.raises(Killed):
        train(arrays, short, on_progress=killed_after(2), saved=saved)
    (saved._folder / name).write_bytes(b"\x80\x04K\x01.")

    told: list[TrainingProgress] = []

    train(arrays, short, on_progress=told.append, saved=saved)

    assert told[0].passes == 3


def test_a_state_that_cannot_be_written_does_not_end_training(
    arrays: GraphArrays, short: ModelSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It costs only what a kill would."""
    (tmp_path / "training").write_text("in the way")

    train(arrays, short, saved=SavedTraining(tmp_path / "training", "key", 0.0))

    assert "training state not written" in caplog.text


def test_the_key_tells_trainings_apart(arrays: GraphArrays, short: ModelSettings) -> None:
    """By graph, catalogue, settings and parent, not by what only says how long and how
    often.
    """
    key = training_key(arrays, short, "")

    same = replace(short, budget_seconds=9.0, checkpoint_every_seconds=9.0, tune_every_seconds=9.0)
    assert training_key(arrays, same, "") == key
    dearer = attribute_columns([{"price": "9"}] * arrays.num_items)
    assert training_key(replace(arrays, item_attributes=dearer), short, "") == key
    times = arrays.fact_ms.copy()
    times[0] += 1
    titles = ["Other", *arrays.item_titles[1:]]
    others = [
        training_key(replace(arrays, fact_ms=times), short, ""),
        training_key(replace(arrays, item_titles=titles), short, ""),
        training_key(arrays, replace(short, seed=1), ""),
        training_key(arrays, short, "20261123T000000Z-00000000"),
    ]
    assert len({key, *others}) == 5


def once(
    arrays: GraphArrays,
    store: ArtifactStore,
    settings: ModelSettings,
    on_progress: Callable[[TrainingProgress], None] | None = None,
) -> Generation:
    """Train and publish as the commands do."""
    source = SnapshotInput(snapshot=snapshot_of(arrays), arrays=arrays)
    return open_generation(
        store.generation_path(train_and_publish(source, store, settings, on_progress=on_progress))
    )


def test_a_published_training_leaves_no_state(
    arrays: GraphArrays, short: ModelSettings, artifacts: ArtifactStore
) -> None:
    """Nor does one that was resumed from a state."""
    with pytest.raises(Killed):
        once(arrays, artifacts, short, killed_after(2))
    assert len(list((artifacts.root / "training").glob("*/000002/state.json"))) == 1

    once(arrays, artifacts, short)

    assert not (artifacts.root / "training").exists()


def test_a_refused_training_leaves_no_state(
    arrays: GraphArrays,
    short: ModelSettings,
    artifacts: ArtifactStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is over, too."""
    refused = Verdict(reasons=("it is worse",), figures={})
    monkeypatch.setattr("model.publishing.publish.judge", lambda *_: refused)
    with pytest.raises(GateRefused):
        once(arrays, artifacts, short)

    assert not (artifacts.root / "training").exists()


def test_another_training_removes_a_state_that_nobody_will_resume(
    arrays: GraphArrays, short: ModelSettings, artifacts: ArtifactStore
) -> None:
    """Other settings, other facts: the folder does not fill with states."""
    for seed in (1, 2):
        with pytest.raises(Killed):
            once(arrays, artifacts, replace(short, seed=seed), killed_after(1))

    assert len(list((artifacts.root / "training").iterdir())) == 1


def test_a_process_that_is_killed_is_resumed_by_another(
    short: ModelSettings, artifacts: ArtifactStore, tmp_path: Path
) -> None:
    """SIGKILL in the middle of a pass.

    Another process publishes what one alone would have.
    """
    fill_store(tmp_path / "store", shop_events(400), shop_items())
    info = take_snapshot(tmp_path / "store", tmp_path / "snapshot", StreamSettings(), NOW_MS)
    with open_graph(tmp_path / "snapshot", StreamSettings()) as graph:
        arrays = graph.arrays()
    whole = train(arrays, short)
    steps = round(2.5 * whole.evaluation["steps"] / whole.evaluation["passes"])

    killed = subprocess.run(
        [
            *(sys.executable, "-m", "testing.processes.trainer"),
            *(str(tmp_path / "snapshot"), str(artifacts.root), str(steps)),
        ],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        input=msgspec.json.encode(short),
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert artifacts.generation_ids() == []
    assert len(list((artifacts.root / "training").glob("*/000002/state.json"))) == 1

    told: list[TrainingProgress] = []
    source = SnapshotInput(snapshot=info, arrays=arrays)
    generation_id = train_and_publish(source, artifacts, short, on_progress=told.append)

    assert told[0].passes == 3
    generation = open_generation(artifacts.generation_path(generation_id))
    assert np.array_equal(generation.item_vectors, whole.item_vectors)
    assert np.array_equal(generation.query_vectors, whole.query_vectors)
