"""A process that trains on a snapshot and kills itself in a step:
``python -m testing.processes.trainer SNAPSHOT ARTIFACTS STEP``.
"""

import os
import signal
import sys
from itertools import count
from pathlib import Path

import msgspec

from model.artifact.store import ArtifactStore
from model.publishing.refresh import SnapshotInput, train_and_publish
from model.settings import ModelSettings
from stream.reading.manifest import read_manifest
from stream.reading.reader import open_graph
from stream.settings import StreamSettings


def main() -> None:
    """Train until step number STEP of all, which is never done.

    Settings come as JSON on stdin.
    """
    snapshot, artifacts, last = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    settings = msgspec.json.decode(sys.stdin.buffer.read(), type=ModelSettings)
    steps = count(1)

    def stop() -> bool:
        if next(steps) == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return False

    with open_graph(snapshot, StreamSettings()) as graph:
        source = SnapshotInput(snapshot=read_manifest(snapshot), arrays=graph.arrays())
    train_and_publish(source, ArtifactStore(artifacts), settings, is_cancelled=stop)


if __name__ == "__main__":
    main()
