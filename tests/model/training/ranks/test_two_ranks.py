"""Two ranks on this machine, over loopback: the model of one, whatever happens."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from freshet.stores.training_input import snapshot_input, store_input
from model.artifact.generation import Generation, open_generation
from model.artifact.store import ArtifactStore
from model.publishing.refresh import train_and_publish
from model.settings import ModelSettings
from stream.settings import StreamSettings
from testing.processes.ranks import (
    ended,
    loopback_environment,
    run_ranks,
    started_ranks,
)
from testing.small_shop import fill_store, shop_events, shop_items

# Largest difference of a number of a unit vector: sums of float32 in another order,
# over some dozen steps.
_ROUNDING = 1e-4
_WAIT_SECONDS = 250.0
# More than any node of the small shop has: what is drawn is all there is.
_ALL_NEIGHBOURS = 100_000

pytestmark = pytest.mark.timeout(600)
EnvironmentOf = Callable[[ModelSettings], dict[str, str]]


@pytest.mark.parametrize("propagation", ["full", "sampled"])
def test_two_ranks_make_the_generation_of_one(
    propagation: str,
    snapshot: Path,
    quick: ModelSettings,
    environment_of: EnvironmentOf,
    tmp_path: Path,
    free_port: Callable[[], int],
) -> None:
    """Where each rank holds all id vectors, and where it holds half of them."""
    settings = replace(quick, propagation=propagation, num_neighbours=_ALL_NEIGHBOURS)
    arguments = ["train", "--snapshot", snapshot, "--artifacts", tmp_path / "two"]
    environments = [environment_of(settings)] * 2
    alone = ArtifactStore(tmp_path / "one")

    outcomes = run_ranks(arguments, environments, free_port(), tmp_path)
    train_and_publish(snapshot_input(snapshot, StreamSettings()), alone, settings)

    assert [each.returncode for each in outcomes] == [0, 0], outcomes
    together = _newest(tmp_path / "two")
    assert outcomes[0].stdout.strip() == together.id
    assert outcomes[1].stdout == ""
    _assert_alike(together, _newest(alone.root))


def test_ranks_that_differ_refuse_to_train(
    snapshot: Path,
    quick: ModelSettings,
    environment_of: EnvironmentOf,
    tmp_path: Path,
    free_port: Callable[[], int],
) -> None:
    """Each of them says which setting it is, and nothing is published."""
    environments = [environment_of(quick), environment_of(replace(quick, dim=8))]

    outcomes = run_ranks(
        ["train", "--snapshot", snapshot, "--artifacts", tmp_path / "artifacts"],
        environments,
        free_port(),
        tmp_path,
    )

    for outcome in outcomes:
        assert outcome.returncode == 1
        assert "model.dim is 8 on rank 1, 16 on the first" in outcome.stderr
    assert not (tmp_path / "artifacts" / "CURRENT").exists()


def test_a_killed_rank_costs_what_was_not_saved(
    snapshot: Path,
    quick: ModelSettings,
    environment_of: EnvironmentOf,
    tmp_path: Path,
    free_port: Callable[[], int],
) -> None:
    """The launcher starts all ranks again; they resume, and publish what one rank that
    was never killed does.
    """
    settings = replace(
        quick,
        propagation="sampled",
        num_neighbours=_ALL_NEIGHBOURS,
        max_passes=8,
        patience=20,
        checkpoint_every_seconds=0.0,
    )
    artifacts = tmp_path / "artifacts"
    launch = ["--nproc-per-node", "2", "--max-restarts", "1", "--rdzv-backend", "c10d"]
    launch += ["--rdzv-endpoint", f"127.0.0.1:{free_port()}", "--local-addr", "127.0.0.1"]
    command = ["-m", "freshet", "train", "--snapshot", snapshot, "--artifacts", artifacts]
    environment = loopback_environment() | environment_of(settings)
    with (tmp_path / "log").open("wb") as log:
        launcher = subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", *launch, *map(str, command)],
            env=environment | {"FRESHET_LOG_LEVEL": "INFO"},
            stdout=log,
            stderr=log,
        )
    try:
        _wait_for(lambda: any((artifacts / "training").glob("*/0*")), launcher)
        os.kill(_pid_of_rank(launcher.pid, 1), signal.SIGKILL)
        code = launcher.wait(_WAIT_SECONDS)
    finally:
        launcher.kill()
        launcher.wait()

    text = (tmp_path / "log").read_text()
    assert code == 0, text
    assert "training resumed" in text
    alone = ArtifactStore(tmp_path / "one")
    train_and_publish(snapshot_input(snapshot, StreamSettings()), alone, settings)
    _assert_alike(_newest(artifacts), _newest(alone.root))


def test_a_tuner_on_two_ranks_refreshes_and_ends_on_request(
    snapshot: Path,
    quick: ModelSettings,
    environment_of: EnvironmentOf,
    tmp_path: Path,
    free_port: Callable[[], int],
) -> None:
    """A refresh starts from the weights of its parent on both ranks, which the first
    one alone has; it alone serves metrics.
    """
    settings = replace(quick, propagation="sampled", num_neighbours=_ALL_NEIGHBOURS)
    store, artifacts = tmp_path / "store", ArtifactStore(tmp_path / "artifacts")
    fill_store(store, shop_events(400), shop_items())
    metrics = f"127.0.0.1:{free_port()}"
    arguments = ["tune", "--store", store, "--artifacts", artifacts.root, "--every", "1s"]
    with started_ranks(
        [*arguments, "--metrics", metrics], [environment_of(settings)] * 2, free_port(), tmp_path
    ) as processes:
        _wait_for(lambda: bool(artifacts.current_id()), *processes)
        fill_store(store, shop_events(80, seed=1))
        _wait_for(lambda: len(artifacts.generation_ids()) > 1, *processes)
        for process in processes:
            process.send_signal(signal.SIGTERM)
        outcomes = ended(processes, tmp_path)

    assert [each.returncode for each in outcomes] == [0, 0], outcomes
    assert metrics in outcomes[0].stderr
    assert metrics not in outcomes[1].stderr
    parent, refreshed = (
        open_generation(artifacts.generation_path(each)) for each in artifacts.generation_ids()[:2]
    )
    assert refreshed.manifest.parent == parent.id
    alone = ArtifactStore(tmp_path / "one")
    source = store_input(store, StreamSettings())
    train_and_publish(source, alone, settings, warm=parent)
    _assert_alike(refreshed, _newest(alone.root))


def _newest(artifacts: Path) -> Generation:
    store = ArtifactStore(artifacts)
    return open_generation(store.generation_path(store.generation_ids()[-1]))


def _assert_alike(one: Generation, other: Generation) -> None:
    assert list(one.item_ids) == list(other.item_ids)
    assert np.abs(one.warm["item_ids"]).max() > 10 * _ROUNDING  # they were learned
    for name, array in one.warm.items():
        assert np.abs(array - other.warm[name]).max() < _ROUNDING, name
    assert np.abs(one.item_vectors - other.item_vectors).max() < _ROUNDING
    assert np.abs(one.query_vectors - other.query_vectors).max() < _ROUNDING


def _wait_for(is_there: Callable[[], bool], *processes: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while not is_there():
        assert all(process.poll() is None for process in processes), "a process ended"
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def _pid_of_rank(launcher: int, rank: int) -> int:
    """Return the process of a rank, by what the launcher gave it."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    wanted = f"RANK={rank}".encode()
    for child in children:
        if wanted in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
            return int(child)
    raise AssertionError(f"no rank {rank} among {children}")
