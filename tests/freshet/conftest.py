"""The command, in this process and as one of its own."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from threading import Event

import pytest
from prometheus_client import CollectorRegistry

from freshet import process
from freshet.commands.cli import cli
from freshet.diagnosis import status
from freshet.metrics import metrics_endpoint
from freshet.probe import Addresses
from model.metrics import TunerMetrics
from model.refresher.metrics import RefresherMetrics
from model.refresher.reasons import Behind, Trouble
from server.app import RetrievalServer
from server.settings import ServerSettings
from stream.metrics import StreamMetrics
from stream.signals.lag import Lag

ROOT = Path(__file__).resolve().parent.parent.parent
CONSOLE_SCRIPT = Path(sys.executable).with_name("freshet")
"""What a user types; unlike ``python -m freshet`` it never imports from the folder."""

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """A function that runs a command line in this process: ``run("graph", "hash",
    "--store", path)``.
    """

    def call(*arguments: object) -> subprocess.CompletedProcess[str]:
        capsys.readouterr()
        code = process.run(cli, [str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return subprocess.CompletedProcess(
            [str(each) for each in arguments], code, printed.out, printed.err
        )

    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield call
    root.handlers[:], root.level = before


@pytest.fixture
def spawn(tmp_path: Path) -> Command:
    """A function that runs a command line as its own process, with extra environment
    variables.
    """

    def call(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [CONSOLE_SCRIPT, *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
        )

    return call


Until = Callable[[Callable[[], object]], None]


@pytest.fixture
def busy_folder(tmp_path: Path) -> Path:
    """A folder with scripts of the user's own, called like modules of ours and of
    Python's.
    """
    for name in ("freshet", "model", "protos", "random", "server", "signal", "stream"):
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('the wrong {name}')\n")
    return tmp_path


@pytest.fixture
def eventually() -> Until:
    """A function that returns once a condition holds.

    Where it does not within two minutes, the test fails.
    """

    def wait(condition: Callable[[], object]) -> None:
        pause, deadline = Event(), time.monotonic() + 120
        while not condition():
            assert time.monotonic() < deadline, "it did not happen within two minutes"
            pause.wait(0.01)

    return wait


@pytest.fixture
def addresses(free_port: Callable[[], int], tmp_path: Path) -> Iterator[Addresses]:
    """A stream and a tuner that have done something, a refresher that cannot publish,
    and a server that waits for its first generation.

    All answer: whoever looks at them waits until they have, also where others leave
    them hardly any CPU.
    """
    stream, tuner, refresher, server = (CollectorRegistry() for _ in range(4))
    _busy_stream(stream)
    _failing_tuner(tuner)
    _late_refresher(refresher)
    at = [f"127.0.0.1:{free_port()}" for _ in range(4)]
    retrieval = RetrievalServer(ServerSettings(listen="127.0.0.1:0"), tmp_path, server)
    patiently = partial(status.look_at, seconds=60.0)
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setattr(status, "look_at", patiently)
        for address, registry in zip(at, (stream, tuner, refresher, server), strict=True):
            stack.enter_context(metrics_endpoint(address, registry))
        retrieval.start()
        stack.callback(retrieval.stop)
        yield Addresses(
            stream=at[0],
            tuner=at[1],
            refresher=at[2],
            server=at[3],
            target=retrieval.address,
        )


def _busy_stream(registry: CollectorRegistry) -> None:
    metrics = StreamMetrics(registry)
    metrics.count_batch({"click": 7, "view": 3}, 0.01)
    metrics.count_facts(new=6, erased=0, dropped=0)
    metrics.count_quarantined({"malformed": 2})
    metrics.count_lost("clicks", 7)
    now_ms = time.time_ns() // 1_000_000
    metrics.set_last_backup(now_ms - 7_200_000)
    metrics.set_freshness(
        watermark_ms=now_ms - 60_000,
        lag=Lag(records={("clicks", 0): 5}, seconds={("clicks", 0): 60.0}),
        clock_offset_seconds=0.0,
    )


def _failing_tuner(registry: CollectorRegistry) -> None:
    metrics = TunerMetrics(registry)
    metrics.started(600.0)
    metrics.succeeded(
        outcome="published", generation_id="g1", now_seconds=time.time() - 900, run_seconds=20.0
    )
    metrics.failed(reason="GateRefused", now_seconds=time.time() - 30, run_seconds=20.0)


def _late_refresher(registry: CollectorRegistry) -> None:
    metrics = RefresherMetrics(registry)
    metrics.claimed(time.time_ns() // 1_000_000 - 90_000)
    metrics.overlay(generation="g1", sequence=7, items=3, queries=4)
    trouble = Trouble(Behind.PUBLISH, "the folder is full; free space")
    metrics.behind(trouble, gaps=0, clock_ahead_seconds=0.0)
