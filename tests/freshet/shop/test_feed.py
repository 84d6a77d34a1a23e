"""Tests of `freshet simulate`."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from freshet.shop.feed import write_history
from freshet.shop.shop import Shop
from tests.freshet.conftest import ROOT, Command, Until


def _lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_seed_gives_the_same_files(run: Command, tmp_path: Path) -> None:
    """Two runs write the same bytes; the catalogue holds what was launched, too."""
    for name in ("one", "two"):
        out = tmp_path / name
        told = run("simulate", "--seed", 3, "--items", 60, "--events", 3000, "--out", out)
        assert told.returncode == 0
        assert told.stdout == (
            f"3,000 events and 61 items in {out}/; next: freshet stream "
            f"--source file:{out}/events.jsonl --catalog file:{out}/items.jsonl --store store\n"
        )

    for name in ("events.jsonl", "items.jsonl"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert len(_lines(tmp_path / "one" / "events.jsonl")) == 3000
    assert len(_lines(tmp_path / "one" / "items.jsonl")) == 61


def test_bare_titles_change_nothing_but_the_catalogue(run: Command, tmp_path: Path) -> None:
    """Shoppers know what they want; only whoever reads the catalogue does not."""
    shop = ("simulate", "--items", 60, "--events", 3000)
    assert run(*shop, "--out", tmp_path / "told").returncode == 0
    assert run(*shop, "--bare-titles", "--out", tmp_path / "bare").returncode == 0

    events = [(tmp_path / name / "events.jsonl").read_bytes() for name in ("told", "bare")]
    assert events[0] == events[1]
    told, bare = (_lines(tmp_path / name / "items.jsonl") for name in ("told", "bare"))
    assert [item["item_id"] for item in bare] == [item["item_id"] for item in told]
    assert all(re.fullmatch(r"Article \d{10}", str(item["title"])) for item in bare)
    assert len({str(item["title"]) for item in bare}) == len(bare)


def test_files_that_are_there_are_not_replaced(run: Command, tmp_path: Path) -> None:
    """Somebody's own log must survive a wrong --out."""
    (tmp_path / "events.jsonl").write_text("mine\n")

    outcome = run("simulate", "--items", 60, "--events", 10, "--out", tmp_path)

    assert outcome.returncode == 1
    assert "events.jsonl exists already" in outcome.stderr
    assert (tmp_path / "events.jsonl").read_text() == "mine\n"
    assert not (tmp_path / "items.jsonl").exists()


def test_live_events_are_appended_at_their_time(run: Command, tmp_path: Path) -> None:
    """A live shop goes on where a killed one stopped.

    A torn line is ended, the catalogue not repeated.
    """
    (tmp_path / "events.jsonl").write_text('{"torn')
    before_ms = time.time_ns() // 1_000_000
    for _ in range(2):
        assert (
            run(
                "simulate", "--items", 60, "--events", 40, "--rate", 200, "--out", tmp_path
            ).returncode
            == 0
        )
    after_ms = time.time_ns() // 1_000_000

    torn, *rest = (tmp_path / "events.jsonl").read_text().splitlines()
    times = [json.loads(line)["ts_ms"] for line in rest]
    assert torn == '{"torn'
    assert len(times) == 80
    assert times == sorted(times)
    assert before_ms <= times[0]
    assert times[-1] <= after_ms
    assert len(_lines(tmp_path / "items.jsonl")) == 60


def test_a_live_shop_ends_when_it_is_told_to(tmp_path: Path, eventually: Until) -> None:
    """SIGTERM ends an endless one with exit code 0, after a whole line."""
    events = tmp_path / "events.jsonl"
    shop = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "freshet",
            "simulate",
            "--items",
            "60",
            "--rate",
            "500",
            "--out",
            str(tmp_path),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )
    with shop:
        try:
            eventually(lambda: events.exists() and events.stat().st_size)
            shop.send_signal(signal.SIGTERM)
            assert shop.wait(120) == 0
        finally:
            shop.kill()

    assert events.read_bytes().endswith(b"\n")
    assert _lines(events)


def test_where_to_must_be_said_once(run: Command) -> None:
    """Neither nowhere nor two places."""
    assert run("simulate").returncode == 2
    assert run("simulate", "--out", "x", "--start-ms", 10**23).returncode == 2
    assert run("simulate", "--out", "x", "--to", "kafka:localhost:9092").returncode == 2


def test_a_history_ends_now(tmp_path: Path) -> None:
    """What the demo starts from is in order of time, without an event yet to come."""
    before_ms = time.time_ns() // 1_000_000
    span_ms = write_history(Shop(3, 60), 3000, tmp_path)
    after_ms = time.time_ns() // 1_000_000

    times = [int(str(line["ts_ms"])) for line in _lines(tmp_path / "events.jsonl")]
    assert len(times) == 3000
    assert times == sorted(times)
    assert before_ms <= times[-1] <= after_ms
    assert times[-1] - times[0] == span_ms
    assert len(_lines(tmp_path / "items.jsonl")) == 61
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events.jsonl", "items.jsonl"]


def test_a_shop_can_be_published_to_kafka(
    run: Command,
    kafka_bootstrap: str,
    kafka_topics: Callable[..., Mapping[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The same shop through Kafka and through files makes the same graph."""
    topics = kafka_topics(partitions=2)
    for name in ("clicks", "sessions", "catalog", "quarantine"):
        monkeypatch.setenv(f"FRESHET_STREAM_{name.upper()}_TOPIC", topics[name])
    shop = ("--seed", 3, "--items", 60, "--events", 500)
    assert run("simulate", *shop, "--out", tmp_path / "files").returncode == 0
    assert (
        run(
            "stream", "--source", f"file:{tmp_path}/files/events.jsonl", "--store", tmp_path / "one"
        ).returncode
        == 0
    )
    expected = run("graph", "hash", "--store", tmp_path / "one").stdout

    assert run("simulate", *shop, "--to", f"kafka:{kafka_bootstrap}").returncode == 0

    source = ["stream", "--source", f"kafka:{kafka_bootstrap}"]
    stream = subprocess.Popen(
        [sys.executable, "-m", "freshet", *source, "--store", str(tmp_path / "two")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    with stream:
        try:
            while run("graph", "hash", "--store", tmp_path / "two").stdout != expected:
                assert time.monotonic() < deadline
                assert stream.poll() is None
            stream.terminate()
            assert stream.wait(120) == 0
        finally:
            stream.kill()
