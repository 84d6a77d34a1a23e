"""Delivers a case: random batches, crashes between any two writes, shards that move."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random

from stream.changes.apply import apply_batch
from stream.events.columns import Texts, batch_of
from stream.events.types import CatalogItem, Interaction, SearchRecord, SourcePartition
from stream.shard.shard import Shard
from testing.laws.case import Case, Log, shard_index_of
from testing.laws.stores import CaseShards

_MAX_FAULTS = 6  # in a case; more would leave few writes undisturbed
_FAULT_SHARE = 0.4  # of writes after which one of them happens, while any is left


@dataclass(slots=True)
class _Worker:
    """A process: what it holds open, what it has decoded, where it reads on."""

    texts: Texts = field(default_factory=Texts)
    shards: dict[int, Shard] = field(default_factory=dict)
    next_entries: dict[SourcePartition, int] = field(default_factory=dict)


@dataclass(slots=True)
class _ShardWrite:
    """What one shard gets of a batch."""

    events: list[Interaction] = field(default_factory=list)
    items: list[CatalogItem] = field(default_factory=list)
    searches: list[SearchRecord] = field(default_factory=list)
    positions: dict[SourcePartition, int] = field(default_factory=dict)


_Fault = Callable[[_Worker], bool]


class Delivery:
    """One delivery of a case, drawn as it goes.

    Args:
        case: what is delivered.
        shards: where the shards live.
        draw: what happens.

    Attributes:
        steps: what happened, in words, to explain a failure.
        counts: how often, by the first word of the step.
    """

    def __init__(self, case: Case, shards: CaseShards, draw: Random) -> None:
        self.steps: list[str] = []
        self.counts: Counter[str] = Counter()
        self._case = case
        self._shards = shards
        self._draw = draw
        self._faults_left = draw.randint(0, _MAX_FAULTS)
        self._largest = draw.choice((3, 10, 30, 100))
        self._marks_idle = draw.random() < 0.5  # or only shards with something to do move on
        self._copies: list[tuple[int, str]] = []
        self._workers = [_Worker() for _ in range(case.num_workers)]

    def run(self) -> None:
        """Deliver until every log has been read to its end, and close all shards."""
        for number, worker in enumerate(self._workers):
            self._open(worker, range(number, self._case.num_shards, len(self._workers)))
        while ready := [worker for worker in self._workers if self._rest_of(worker)]:
            self._deliver(self._draw.choice(ready))
        for worker in self._workers:
            for index in list(worker.shards):
                self._close(worker, index)

    def _deliver(self, worker: _Worker) -> None:
        """Apply one batch, a write a shard; something may come between any two."""
        writes = list(self._cut_batch(worker).items())
        self._draw.shuffle(writes)
        for index, own in writes:
            self._write(worker, index, own)
            if self._faults_left and self._draw.random() < _FAULT_SHARE:
                self._faults_left -= 1
                if self._draw.choice(self._faults(worker))(worker):
                    return

    def _write(self, worker: _Worker, index: int, own: _ShardWrite) -> None:
        batch = batch_of(
            own.events,
            worker.texts,
            items=own.items,
            searches=own.searches,
            positions=own.positions,
        )
        apply_batch(worker.shards[index], batch, worker.texts)
        self._note(
            "write",
            f"shard {index}, {len(own.events)} events, then at {_offsets(own.positions)}",
        )

    # Reading

    def _logs_of(self, worker: _Worker) -> Iterator[Log]:
        return (log for log in self._case.logs if log.shards[0] in worker.shards)

    def _rest_of(self, worker: _Worker) -> list[Log]:
        return [
            log
            for log in self._logs_of(worker)
            if worker.next_entries[log.position] < len(log.entries)
        ]

    def _cut_batch(self, worker: _Worker) -> dict[int, _ShardWrite]:
        """Read on in some logs, and divide what was read among the shards."""
        unread = self._rest_of(worker)
        writes: dict[int, _ShardWrite] = {}
        for log in self._draw.sample(unread, self._draw.randint(1, len(unread))):
            start = worker.next_entries[log.position]
            end = min(start + self._draw.randint(1, self._largest), len(log.entries))
            worker.next_entries[log.position] = end
            self._add_entries(log, start, end, writes)
        return writes

    def _add_entries(self, log: Log, start: int, end: int, writes: dict[int, _ShardWrite]) -> None:
        touched = set(log.shards) if self._marks_idle else set()
        for entry in log.entries[start:end]:
            if isinstance(entry, SearchRecord):
                touched.update(log.shards)
                for index in log.shards:
                    writes.setdefault(index, _ShardWrite()).searches.append(entry)
                continue
            is_file = len(log.shards) > 1
            index = shard_index_of(entry, self._case.num_shards) if is_file else log.shards[0]
            touched.add(index)
            own = writes.setdefault(index, _ShardWrite())
            if isinstance(entry, Interaction):
                own.events.append(entry)
            else:
                own.items.append(entry)
        for index in sorted(touched):
            writes.setdefault(index, _ShardWrite()).positions[log.position] = end

    def _read_on(self, worker: _Worker) -> None:
        """Go on where the shards say.

        Of each log, the least that its shards have applied.
        """
        stored = {index: shard.positions() for index, shard in worker.shards.items()}
        worker.next_entries = {
            log.position: min(stored[index].get(log.position, 0) for index in log.shards)
            for log in self._logs_of(worker)
        }

    # Faults. Each says whether the batch ends with it

    def _faults(self, worker: _Worker) -> list[_Fault]:
        faults: list[_Fault] = [self._crash, self._crash, self._reopen, self._copy, self._sync]
        if len(self._workers) > 1:
            faults += [self._move, self._move]
        if any(index in worker.shards for index, _ in self._copies):
            faults += [self._restore, self._restore]
        return faults

    def _crash(self, worker: _Worker) -> bool:
        """Kill a worker; another starts in its place."""
        held = list(worker.shards)
        for index in held:
            self._shards.kill(index, self._draw)
        self._note("crash", f"of the worker of shards {held}")
        worker.shards, worker.texts = {}, Texts()
        self._open(worker, held)
        return True

    def _reopen(self, worker: _Worker) -> bool:
        """Stop a worker in order; another starts in its place."""
        held = list(worker.shards)
        for index in held:
            self._close(worker, index)
        worker.texts = Texts()
        self._open(worker, held)
        self._note("restart", f"of the worker of shards {held}")
        return True

    def _move(self, worker: _Worker) -> bool:
        """Give a shard to the other worker."""
        index = self._draw.choice(list(worker.shards))
        (other,) = (other for other in self._workers if other is not worker)
        self._close(worker, index)
        self._open(other, [index])
        self._read_on(worker)
        self._note("move", f"of shard {index}")
        return True

    def _copy(self, worker: _Worker) -> bool:
        index = self._draw.choice(list(worker.shards))
        name = f"copy-{len(self._copies)}"
        self._shards.checkpoint(index, name)
        self._copies.append((index, name))
        self._note("checkpoint", f"{name} of shard {index}")
        return False

    def _restore(self, worker: _Worker) -> bool:
        """Lose a shard and restore it from a checkpoint."""
        index, name = self._draw.choice([copy for copy in self._copies if copy[0] in worker.shards])
        self._close(worker, index)
        self._shards.restore(index, name)
        self._open(worker, [index])
        self._note("restore", f"of shard {index} from {name}")
        return True

    def _sync(self, worker: _Worker) -> bool:
        index = self._draw.choice(list(worker.shards))
        worker.shards[index].sync()
        self._note("sync", f"of shard {index}")
        return False

    def _open(self, worker: _Worker, indices: Iterable[int]) -> None:
        for index in indices:
            worker.shards[index] = self._shards.open(index)
        self._read_on(worker)

    def _close(self, worker: _Worker, index: int) -> None:
        del worker.shards[index]
        self._shards.close(index)

    def _note(self, kind: str, detail: str) -> None:
        self.counts[kind] += 1
        self.steps.append(f"{kind} {detail}")


def _offsets(positions: Mapping[SourcePartition, int]) -> str:
    return (
        ", ".join(f"{p.source}/{p.partition}:{at}" for p, at in positions.items()) or "no new place"
    )
