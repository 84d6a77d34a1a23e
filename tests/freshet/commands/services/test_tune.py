"""Tests of `freshet tune`."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from stream.reading.snapshot import serve_requests
from stream.settings import StreamSettings
from stream.store.store import Store
from testing.histories import NOON_MS, apply_events, event
from tests.freshet.commands.conftest import Shop
from tests.freshet.conftest import ROOT, Until


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

    assert tuner.wait(120) == 0


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
        assert tuner.wait(120) == 0
