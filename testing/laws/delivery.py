"""Delivers a case: random batches, crashes between any two writes, shards that move."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random

from stream.changes.apply import apply_batch
from stream.events.columns import ShardBatch
from stream.events.fast_path import ColumnDecoder
from stream.events.types import RecordBatch, SourcePartition
from stream.micro_batch import MicroBatch, ShardRouter
from stream.shard.shard import Shard
from testing.laws.case import NOON_MS, Case, Log
from testing.laws.stores import SETTINGS, CaseShards

_NOW_MS = NOON_MS + 100 * 86_400_000  # after every event
_MAX_FAULTS = 6  # in a case; more would leave few writes undisturbed
_FAULT_SHARE = 0.4  # of writes after which one of them happens, while any is left


@dataclass(slots=True)
class _Worker:
    """A process: what it holds open, what it has decoded, where it reads on in each
    log, by the log's number.
    """

    decoder: ColumnDecoder
    shards: dict[int, Shard] = field(default_factory=dict)
    next_records: dict[int, int] = field(default_factory=dict)


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
        self._router = ShardRouter(case.num_shards, by_partition=case.by_partition)
        self._decoders = self._made_decoders()
        self._workers = [_Worker(next(self._decoders)) for _ in range(case.num_workers)]

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
        writes = self._cut_batch(worker)
        self._draw.shuffle(writes)
        for index, own in writes:
            self._write(worker, index, own)
            if self._faults_left and self._draw.random() < _FAULT_SHARE:
                self._faults_left -= 1
                if self._draw.choice(self._faults(worker))(worker):
                    return

    def _write(self, worker: _Worker, index: int, batch: ShardBatch) -> None:
        batch.retention_ms = self._case.retention_ms
        applied = apply_batch(worker.shards[index], batch, worker.decoder.texts)
        wrong = [one for one in applied.refusals if one.reason != "too_late"]
        if wrong:
            raise AssertionError(f"refused: {wrong}")
        self.counts["late"] += len(applied.refusals)
        self.counts["erasure"] += len(batch.erasures)
        self._note(
            "write",
            f"shard {index}, {len(batch.events)} events, {len(applied.refusals)} late, "
            f"{len(batch.erasures)} erasures, then at {_offsets(batch.positions)}",
        )

    # Reading

    def _logs_of(self, worker: _Worker) -> Iterator[tuple[int, Log]]:
        return (
            (number, log)
            for number, log in enumerate(self._case.logs)
            if log.shards[0] in worker.shards
        )

    def _rest_of(self, worker: _Worker) -> list[tuple[int, Log]]:
        return [
            (number, log)
            for number, log in self._logs_of(worker)
            if worker.next_records[number] < len(log.records)
        ]

    def _cut_batch(self, worker: _Worker) -> list[tuple[int, ShardBatch]]:
        """Read on in some logs, decode, and divide what was read among the shards."""
        unread = self._rest_of(worker)
        micro_batch = MicroBatch()
        for number, log in self._draw.sample(unread, self._draw.randint(1, len(unread))):
            start = worker.next_records[number]
            end = min(start + self._draw.randint(1, self._largest), len(log.records))
            worker.next_records[number] = end
            records = self._records(log, start, end)
            decoded = worker.decoder.decode(records, _NOW_MS)
            if decoded.rejections or decoded.ignored:
                raise AssertionError(f"not decoded: {decoded.rejections}, {decoded.ignored}")
            micro_batch.add(records, decoded)
        writes = self._router.split(micro_batch, worker.decoder.texts, list(worker.shards))
        return [(index, own) for index, own in writes if self._marks_idle or _has_content(own)]

    def _records(self, log: Log, start: int, end: int) -> RecordBatch:
        """Return some records of a log as a source hands them out."""
        records = log.records[start:end]
        times_ms = [record.time_ms for record in records if record.time_ms is not None]
        return RecordBatch(
            position=log.position,
            offsets=range(start, end),
            next_offsets=range(start + 1, end + 1),
            content_types=[record.encoding.content_type for record in records],
            keys=[record.key for record in records],
            values=[record.encoding.write(record.entries) for record in records],
            headers=[record.encoding.headers(record.entries[0]) for record in records],
            shard=log.shards[0] if self._case.by_partition else None,
            times_ms=times_ms,
        )

    def _read_on(self, worker: _Worker) -> None:
        """Go on where the shards say.

        Of each log, the least that its shards have applied.
        """
        stored = {index: shard.positions() for index, shard in worker.shards.items()}
        worker.next_records = {
            number: min(stored[index].get(log.position, 0) for index in log.shards)
            for number, log in self._logs_of(worker)
        }

    # Faults. Each says whether the batch ends with it

    def _faults(self, worker: _Worker) -> list[_Fault]:
        faults: list[_Fault] = [self._crash, self._crash, self._reopen, self._copy, self._sync]
        if len(self._workers) > 1:
            faults += [self._move, self._move]
        if any(index in worker.shards for index, _ in self._copies):
            faults += [self._restore, self._restore]
        return faults

    def _made_decoders(self) -> Iterator[ColumnDecoder]:
        """Yield the decoder of each worker: in turn with `freshet_native` and without,
        beginning by the case.
        """
        natively = self._case.number % 2 == 0
        while True:
            yield ColumnDecoder(SETTINGS, natively=natively)
            natively = not natively

    def _crash(self, worker: _Worker) -> bool:
        """Kill a worker; another starts in its place."""
        held = list(worker.shards)
        for index in held:
            self._shards.kill(index, self._draw)
        self._note("crash", f"of the worker of shards {held}")
        worker.shards, worker.decoder = {}, next(self._decoders)
        self._open(worker, held)
        return True

    def _reopen(self, worker: _Worker) -> bool:
        """Stop a worker in order; another starts in its place."""
        held = list(worker.shards)
        for index in held:
            self._close(worker, index)
        worker.decoder = next(self._decoders)
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


def _has_content(batch: ShardBatch) -> bool:
    return bool(len(batch.events) or batch.items or batch.erasures or batch.searches)


def _offsets(positions: Mapping[SourcePartition, int]) -> str:
    return (
        ", ".join(f"{p.source}/{p.partition}:{at}" for p, at in positions.items()) or "no new place"
    )
