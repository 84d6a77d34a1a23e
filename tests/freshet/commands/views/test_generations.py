"""Tests of training by hand and of looking at generations.

From a simulated shop to a query.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from freshet import process
from freshet.commands.cli import cli
from stream.reading.snapshot import serve_requests
from stream.settings import StreamSettings
from stream.store.store import Store
from testing.histories import NOON_MS, apply_events, event

Command = Callable[..., subprocess.CompletedProcess[str]]
Until = Callable[[Callable[[], object]], None]
ROOT = Path(__file__).resolve().parents[4]


@dataclass(frozen=True)
class Shop:
    """A simulated shop with its store, a snapshot, and a folder of two generations."""

    store: Path
    snapshot: Path
    artifacts: Path
    generation_ids: tuple[str, str]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Made by the commands, the last of which are two trainings of a few seconds."""
    root = tmp_path_factory.mktemp("shop")
    log, store, snapshot, artifacts = (
        root / "log",
        root / "store",
        root / "snapshot",
        root / "artifacts",
    )
    command("simulate", "--items", 80, "--events", 3000, "--out", log)
    command(
        *(
            "stream",
            "--source",
            f"file:{log}/events.jsonl",
            "--catalog",
            f"file:{log}/items.jsonl",
            "--store",
            store,
        )
    )
    command("snapshot", "--store", store, "--out", snapshot)
    first = command(
        "train", "--store", store, "--artifacts", artifacts, "--budget", "20s", "--seed", 1
    )
    second = command(
        "train", "--snapshot", snapshot, "--artifacts", artifacts, "--budget", "20s", "--seed", 2
    )
    return Shop(store, snapshot, artifacts, (first, second))


def command(*arguments: object) -> str:
    """Run a command as its own process and return its last line on stdout."""
    outcome = subprocess.run(
        [sys.executable, "-m", "freshet", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout.splitlines()[-1] if outcome.stdout else ""


def test_training_prints_the_id_last(shop: Shop) -> None:
    """A script takes the last line and finds the generation by it.

    Nothing else is left in the store.
    """
    for generation_id in shop.generation_ids:
        assert (shop.artifacts / "generations" / generation_id / "manifest.json").exists()
    assert (shop.artifacts / "CURRENT").read_text().strip() == shop.generation_ids[1]
    assert list((shop.store / "scratch").iterdir()) == []


def test_generations_can_be_listed_and_shown(shop: Shop, run: Command) -> None:
    """Oldest first, the current one marked."""
    listed = json.loads(run("generations", "list", "--artifacts", shop.artifacts, "--json").stdout)
    shown = json.loads(run("generations", "show", "--artifacts", shop.artifacts, "--json").stdout)
    table = run("generations", "list", "--artifacts", shop.artifacts).stdout

    assert [each["generation_id"] for each in listed] == list(shop.generation_ids)
    assert [each["current"] for each in listed] == [False, True]
    assert shown["generation_id"] == shop.generation_ids[1]
    assert shown["gate"]["passed"] is True
    assert f"*  {shop.generation_ids[1]}" in table
    assert (
        shop.generation_ids[0]
        in run("generations", "show", shop.generation_ids[0], "--artifacts", shop.artifacts).stdout
    )


def test_rolling_back_is_one_command(shop: Shop, run: Command) -> None:
    """`use` makes an older generation current, and back."""
    first, second = shop.generation_ids

    back = run("generations", "use", first, "--artifacts", shop.artifacts, "--json")
    assert json.loads(back.stdout) == {"current": first, "before": second}
    assert (shop.artifacts / "CURRENT").read_text().strip() == first
    assert run("generations", "use", second, "--artifacts", shop.artifacts).returncode == 0


def test_a_bad_generation_does_not_hide_the_good_ones(
    shop: Shop, tmp_path: Path, run: Command
) -> None:
    """Whoever must roll back sees what there is to go back to."""
    artifacts = tmp_path / "artifacts"
    shutil.copytree(shop.artifacts, artifacts)
    first, second = shop.generation_ids
    (artifacts / "generations" / second / "manifest.json").write_text("{")

    listed = json.loads(run("generations", "list", "--artifacts", artifacts, "--json").stdout)
    table = run("generations", "list", "--artifacts", artifacts).stdout

    assert [each["generation_id"] for each in listed] == [first, second]
    assert "error" not in listed[0]
    assert "not a generation manifest" in listed[1]["error"]
    assert listed[1]["current"]
    assert "unreadable: " in table


def test_a_pointer_that_names_nothing_can_be_mended(
    shop: Shop, tmp_path: Path, run: Command
) -> None:
    """What the message about a broken `CURRENT` advises works."""
    artifacts = tmp_path / "artifacts"
    shutil.copytree(shop.artifacts, artifacts)
    (artifacts / "CURRENT").write_text("rubbish")

    listed = run("generations", "list", "--artifacts", artifacts, "--json")
    mended = run("generations", "use", shop.generation_ids[0], "--artifacts", artifacts, "--json")

    assert "does not hold a generation id" in listed.stderr
    assert [each["current"] for each in json.loads(listed.stdout)] == [False, False]
    assert json.loads(mended.stdout) == {"current": shop.generation_ids[0], "before": None}


def test_a_generation_that_is_not_there_is_named(shop: Shop, run: Command) -> None:
    """The pointer stays where it is."""
    outcome = run("generations", "use", "20200101T000000Z-abcdef", "--artifacts", shop.artifacts)

    assert outcome.returncode == 1
    assert "20200101T000000Z-abcdef" in outcome.stderr
    assert (shop.artifacts / "CURRENT").read_text().strip() == shop.generation_ids[1]


def test_a_corrupt_generation_is_one_clear_line(shop: Shop, tmp_path: Path, run: Command) -> None:
    """A server that would have nothing right to serve does not start."""
    broken = tmp_path / "generations" / shop.generation_ids[0]
    broken.mkdir(parents=True)
    (broken / "manifest.json").write_text("{")
    (tmp_path / "CURRENT").write_text(shop.generation_ids[0] + "\n")

    for arguments in (["serve", "--listen", "127.0.0.1:0"], ["generations", "show"]):
        outcome = run(*arguments, "--artifacts", tmp_path)
        (line,) = [
            line for line in outcome.stderr.splitlines() if line.startswith("freshet: error: ")
        ]
        assert outcome.returncode == 1
        assert "manifest.json is not a generation manifest" in line


def test_serve_answers_and_ends_when_told_to(
    shop: Shop, free_port: Callable[[], int], run: Command, eventually: Until
) -> None:
    """A query in JSON is what the call returned, receipt included.

    SIGTERM ends the server with code 0.
    """
    target, metrics = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    arguments = [
        "serve",
        "--artifacts",
        str(shop.artifacts),
        "--listen",
        target,
        "--metrics",
        metrics,
    ]
    server = subprocess.Popen(
        [sys.executable, "-m", "freshet", *arguments], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    try:
        eventually(lambda: run("query", "running shoes", "--target", target).returncode == 0)
        answer = json.loads(
            run("query", "Running  SHOES", "-k", 3, "--target", target, "--json").stdout
        )
        table = run("query", "running shoes", "-k", 3, "--target", target)
        busy = run(
            "serve",
            "--artifacts",
            shop.artifacts,
            "--listen",
            target,
            "--metrics",
            f"127.0.0.1:{free_port()}",
        )
    finally:
        server.send_signal(signal.SIGTERM)

    assert server.wait(30) == 0
    assert set(answer) == {"hits", "receipt", "query_path", "normalized_query"}
    assert answer["normalized_query"] == "running shoes"
    assert answer["receipt"]["generation"] == shop.generation_ids[1]
    assert set(answer["hits"][0]) == {"item_id", "score", "title"}
    assert len(answer["hits"]) == 3
    assert answer["hits"][0]["item_id"] in table.stdout
    assert busy.returncode == 1
    assert f"cannot listen on {target}" in busy.stderr


def test_the_tuner_publishes_and_ends_when_told_to(
    shop: Shop, tmp_path: Path, free_port: Callable[[], int], eventually: Until
) -> None:
    """It makes a generation at once, and SIGTERM ends it with code 0."""
    metrics = f"127.0.0.1:{free_port()}"
    arguments = [
        "tune",
        "--store",
        shop.store,
        "--artifacts",
        tmp_path,
        "--every",
        "1h",
        "--metrics",
        metrics,
    ]
    tuner = subprocess.Popen(
        [sys.executable, "-m", "freshet", *map(str, arguments)],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "FRESHET_MODEL_MAX_PASSES": "2"},
    )
    try:
        eventually((tmp_path / "CURRENT").exists)
    finally:
        tuner.send_signal(signal.SIGTERM)

    assert tuner.wait(30) == 0


def test_the_tuner_reads_only_what_changed(tmp_path: Path, eventually: Until) -> None:
    """Of a store that a stream goes on writing: in full at first, then what is new."""
    log = tmp_path / "tuner.log"
    arguments = [
        "tune",
        "--store",
        tmp_path / "store",
        "--artifacts",
        tmp_path / "made",
        "--every",
        "0.2s",
    ]
    clicks = [event(f"s-{n}", f"query {n % 5}", f"item {n % 9}", NOON_MS + n) for n in range(200)]
    with (
        Store.create_or_open(tmp_path / "store", StreamSettings(), 1) as store,
        log.open("wb") as stderr,
    ):

        def told(line: str) -> bool:
            serve_requests(store)
            return line in log.read_text()

        apply_events(store.shard(0), clicks)
        tuner = subprocess.Popen(
            [sys.executable, "-m", "freshet", *map(str, arguments)],
            cwd=ROOT,
            stderr=stderr,
            env={**os.environ, "FRESHET_MODEL_MAX_PASSES": "1"},
        )
        try:
            eventually(lambda: told("snapshot read facts=200 shards_in_full=1"))
            apply_events(store.shard(0), [event("s-new", "query 1", "item 3", NOON_MS + 1000)])
            eventually(lambda: told("snapshot read facts=201 shards_in_full=0"))
        finally:
            tuner.send_signal(signal.SIGTERM)
        assert tuner.wait(30) == 0


def test_too_little_to_learn_from_is_one_clear_line(tmp_path: Path, run: Command) -> None:
    """A store with a view alone cannot be trained on, and nothing is published."""
    (tmp_path / "e.jsonl").write_text(
        '{"ts_ms":1760000000000,"type":"view","session_id":"s","user_id":"u","query":null,"item_id":"i"}\n'
    )
    assert (
        run(
            "stream", "--source", f"file:{tmp_path}/e.jsonl", "--store", tmp_path / "store"
        ).returncode
        == 0
    )

    outcome = subprocess.run(
        [sys.executable, "-m", "freshet", "train", "--store", "store", "--artifacts", "artifacts"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert outcome.returncode == 1
    assert outcome.stderr.startswith("freshet: error: ")
    assert outcome.stdout == ""
    assert not (tmp_path / "artifacts" / "CURRENT").exists()
    assert (
        process.run(cli, ["generations", "list", "--artifacts", str(tmp_path / "artifacts")]) == 1
    )
