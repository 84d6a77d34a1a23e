"""Tests of `freshet serve`, asked by `freshet query`."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from freshet_client import ClientError, RetrievalClient
from testing.small_generations import Artifacts, make_catalogue
from tests.freshet.commands.conftest import Shop
from tests.freshet.conftest import ROOT, Command, Until


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
        hit = answer["hits"][0]["item_id"]
        session = ("--context", hit, "--context-query", "shoes")
        in_session = run("query", "running shoes", *session, "--target", target, "--json")
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

    assert server.wait(120) == 0
    fields = {"hits", "receipt", "query_path", "normalized_query", "context_members"}
    assert set(answer) == fields
    assert json.loads(in_session.stdout)["normalized_query"] == "running shoes"
    assert answer["normalized_query"] == "running shoes"
    assert answer["receipt"]["generation"] == shop.generation_ids[1]
    assert set(answer["hits"][0]) == {"item_id", "score", "title"}
    assert len(answer["hits"]) == 3
    assert answer["hits"][0]["item_id"] in table.stdout
    assert busy.returncode == 1
    assert f"cannot listen on {target}" in busy.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_the_process_that_looks_after_them(
    artifacts: Artifacts, free_port: Callable[[], int], eventually: Until, number: signal.Signals
) -> None:
    """However it ends, nothing listens any more, and none of them is left."""
    artifacts.publish(make_catalogue(30, ["lamp"]))
    port = free_port()
    arguments = ["serve", "--artifacts", str(artifacts.root), "--listen", f"127.0.0.1:{port}"]
    more = ["--workers", "2", "--metrics", f"127.0.0.1:{free_port()}"]
    server = subprocess.Popen(
        [sys.executable, "-m", "freshet", *arguments, *more], cwd=ROOT, stderr=subprocess.DEVNULL
    )

    def answers() -> bool:
        try:
            with RetrievalClient(f"127.0.0.1:{port}", retry=None) as client:
                return bool(client.retrieve("lamp").hits)
        except ClientError:
            return False

    try:
        eventually(answers)
        workers = []
        for task in Path(f"/proc/{server.pid}/task").glob("*/children"):
            with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended
                workers += task.read_text(encoding="ascii").split()
        assert len(workers) == 2
    finally:
        server.send_signal(number)

    assert server.wait(120) == (0 if number is signal.SIGTERM else -signal.SIGKILL)
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
