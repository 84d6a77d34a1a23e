"""A process that holds a store open: ``python -m testing.processes.holder ROOT
idle|serve|write``.

It prints ``ready``, then after each batch how many were applied, and leaves when
standard input is closed.
"""

import os
import select
import sys
from contextlib import suppress
from itertools import count
from pathlib import Path

from stream.events.types import SourcePartition
from stream.reading.snapshot import serve_requests
from stream.settings import StreamSettings
from stream.store.store import Store
from testing.histories import NOON_MS, apply_events, event


def say(text: str) -> None:
    """Tell the test; what a pipe has no room for, as nobody reads it any more, is left
    out: a writer that waits for a reader would answer no request.
    """
    with suppress(BlockingIOError):
        os.write(sys.stdout.fileno(), f"{text}\n".encode())


def main() -> None:
    """Hold the store: doing nothing, answering snapshot requests, or writing and
    answering them.
    """
    root, mode = Path(sys.argv[1]), sys.argv[2]
    os.set_blocking(sys.stdout.fileno(), False)
    with Store.create_or_open(root, StreamSettings(memtable_bytes=65536)) as store:
        shard = store.shard(0)
        say("ready")
        for number in count():
            if mode == "write":
                batch = [
                    event(f"s-{number}", item_id=f"i-{item}", ts_ms=NOON_MS + number)
                    for item in range(number % 7)
                ]
                apply_events(shard, batch, [], {SourcePartition("numbers", 0): number + 1})
                say(str(number + 1))
            if mode != "idle":
                serve_requests(store)
            if select.select([sys.stdin], [], [], 0 if mode == "write" else 0.01)[0]:
                return


if __name__ == "__main__":
    main()
