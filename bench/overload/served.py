"""A server in a process of its own, over a synthetic generation."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry

from bench.serving.processes import Served
from freshet.process import take_short_turns
from server.app import RetrievalServer
from server.settings import ServerSettings

_READY = "ready "


@contextmanager
def served(folder: Path) -> Iterator[Served]:
    """Yield a server over an artifacts folder, at default settings."""
    command = [sys.executable, "-m", "bench.overload.served", str(folder)]
    # As `freshet serve` sets it.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        line = process.stdout.readline() if process.stdout else ""
        if not line.startswith(_READY):
            raise SystemExit("the server did not start")
        try:
            address = line.removeprefix(_READY).strip()
            yield Served(name="product", address=address, pids=(process.pid,))
        finally:
            process.terminate()


def main(folder: Path) -> None:
    """Serve until standard input closes."""
    take_short_turns()
    # What is measured is no recall.
    settings = ServerSettings(listen="127.0.0.1:0", canary_floor=0.0)
    server = RetrievalServer(settings, folder, CollectorRegistry())
    server.start()
    print(f"{_READY}{server.address}", flush=True)
    sys.stdin.read()
    server.stop(grace_seconds=0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
