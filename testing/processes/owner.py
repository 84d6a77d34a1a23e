"""A process that owns shard 0 on command: ``python -m testing.processes.owner ROOT
[CHECKPOINTS_URL]``.

It reads a command a line from standard input, and answers each in a line: ``apply N``
(N more batches), ``write`` (batches without end, answered when many are applied), or a
method of `stream.store.ownership.Ownership`: ``acquire``, ``release``, ``lose``,
``run_due_work``. The answer is how far the shard is, or the error's class. It leaves
when standard input is closed.
"""

import sys
from itertools import count
from pathlib import Path

from stream.errors import StreamError
from stream.events.types import SourcePartition
from stream.reading.reader import open_graph
from stream.settings import StreamSettings
from stream.store.store import Store
from testing.histories import NOON_MS, apply_events, event

_BATCHES_BEFORE_ANSWER = 200  # so that some memtables of 64 KiB are full; chosen by hand
NUMBERS = SourcePartition("numbers", 0)


def apply_next(store: Store) -> int:
    """Apply the batch after the stored position; return the position after it.

    A batch n has n % 7 facts.
    """
    shard = store.shard(0)
    number = shard.positions().get(NUMBERS, 0)
    batch = [
        event(f"s-{number}", item_id=f"i-{item}", ts_ms=NOON_MS + number)
        for item in range(number % 7)
    ]
    apply_events(shard, batch, [], {NUMBERS: number + 1})
    return number + 1


def facts_up_to(position: int) -> int:
    """Return how many facts a shard has whose next offset is `position`."""
    return sum(number % 7 for number in range(position))


def check_whole(root: Path, position: int) -> None:
    """Check that a store holds exactly the facts up to a position."""
    with open_graph(root, StreamSettings()) as graph:
        assert graph.positions()[0][NUMBERS] == position
        assert graph.stats().facts == facts_up_to(position)


def say(text: object) -> None:
    """Tell the test."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def obey(store: Store, command: str, argument: str) -> None:
    """Carry out one command and answer it."""
    if command == "apply":
        say([apply_next(store) for _ in range(int(argument))][-1])
    elif command == "write":
        for number in count():
            position = apply_next(store)
            if number == _BATCHES_BEFORE_ANSWER:
                say(position)
    elif command == "acquire":
        say(store.ownership.acquire(0).get(NUMBERS, 0))
    elif command == "run_due_work":
        store.ownership.run_due_work()
        say("ok")
    else:
        getattr(store.ownership, command)(0)
        say("ok")


def main() -> None:
    """Obey until there are no more commands."""
    settings = StreamSettings(
        memtable_bytes=65536,
        takeover_wait_seconds=0.05,
        checkpoints_url=sys.argv[2] if len(sys.argv) > 2 else "",
    )
    with Store.create_or_open(Path(sys.argv[1]), settings) as store:
        for line in sys.stdin:
            command, _, argument = line.strip().partition(" ")
            try:
                obey(store, command, argument)
            except StreamError as error:
                say(type(error).__name__)


if __name__ == "__main__":
    main()
