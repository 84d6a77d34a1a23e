"""What each kind of entry of the grown store costs on disk."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from bench.ingest.workbench import Workbench
from stream.reading.reader import open_graph
from stream.settings import StreamSettings
from stream.shard import codec
from stream.shard.changed_entries import ShardWrite
from stream.shard.shard import Shard
from stream.store.store import Store

# Entries of a kind that are written alone to be weighed: some MB, over many blocks.
_SAMPLE_ENTRIES = 100_000
_KINDS = {
    "run of a query": codec.BY_QUERY,
    "run of an item": codec.BY_ITEM,
    "session": codec.SESSION,
    "run of users": codec.USER,
    "query name": codec.QUERY_NAME,
    "item name": codec.ITEM_NAME,
}


def measure_size(bench: Workbench) -> None:
    """Compact the grown store and say what each kind of entry costs on disk."""
    store = bench.grown()
    with Store.create_or_open(store, StreamSettings()) as opened:
        opened.shard(0).compact()
    with open_graph(store, StreamSettings()) as graph:
        stats = graph.stats()
    totals = {
        name: _kind_bytes(bench, store, name) * _count(store, kind) for name, kind in _KINDS.items()
    }
    for name, size in totals.items():
        bench.add(f"stored: {name}", size / stats.facts, "B a fact")
    edge = (totals["run of a query"] + totals["run of an item"]) / stats.edges
    note = f"{stats.edges:,} edges, both ways, with the facts that make them"
    bench.add("bytes an edge", edge, "B", target="<= 80", note=note)
    session = (totals["session"] + totals["run of users"]) / stats.facts
    note = (
        f"{stats.facts:,} facts, {stats.incidences:,} incidences: sessions hold both, and their "
        "users"
    )
    bench.add("bytes an incidence and its fact", session, "B", target="<= 24 + 32", note=note)
    bench.add("bytes an edge, everything counted", stats.bytes_on_disk / stats.edges, "B")


def _kind_bytes(bench: Workbench, store: Path, name: str) -> float:
    """Return the bytes of one entry of a kind, from a run of them in a store of their
    own, compacted.
    """
    root = bench.folder / f"only {name}"
    sample = list(islice(_scan(store, _KINDS[name]), _SAMPLE_ENTRIES))
    settings = StreamSettings()
    with Store.create_or_open(root, settings, 1) as only:
        shard = only.shard(0)
        empty = _compacted_bytes(shard)
        for start in range(0, len(sample), 10_000):
            shard.write(ShardWrite.of(dict(sample[start : start + 10_000])))
        size = _compacted_bytes(shard) - empty
    return size / max(len(sample), 1)


def _compacted_bytes(shard: Shard) -> int:
    shard.compact()
    return sum(file.stat().st_size for file in shard.path.glob("*.sst"))


def _scan(store: Path, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    with open_graph(store, StreamSettings()) as graph:
        (shard,) = graph._shards  # noqa: SLF001  # the bench measures what lies below
        yield from shard._database.scan(prefix)  # noqa: SLF001


def _count(store: Path, prefix: bytes) -> int:
    return sum(1 for _ in _scan(store, prefix))
