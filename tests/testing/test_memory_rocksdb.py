"""The in-memory twin against RocksDB: the same operations, the same answers."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.errors import StoreError, StoreWriteFailed
from stream.settings import StreamSettings
from stream.shard.rocksdb import Database, Puts
from testing.histories import EFFORT
from testing.stand_ins.memory_rocksdb import MemoryDatabase, MemoryDisk

SETTINGS = StreamSettings(memtable_bytes=65536)

_AROUND = [b"\x00a", b"\x02", b"\x01\xff\xff"]
keys = st.binary(max_size=3).map(lambda rest: b"\x01" + rest) | st.sampled_from(_AROUND)
writes = st.tuples(
    st.just("write"),
    st.lists(st.tuples(keys, st.binary(max_size=2)), max_size=5),
    st.lists(keys, max_size=3),
)
operations = st.lists(
    writes
    | st.tuples(st.just("get"), st.lists(keys, max_size=4))
    | st.tuples(st.just("scan"), st.binary(max_size=2), st.binary(max_size=2))
    | st.tuples(st.sampled_from(["sync", "compact", "reopen", "checkpoint"])),
    max_size=15,
)


class Twin:
    """One database of either kind, and its checkpoints."""

    def __init__(self, folder: Path, disk: MemoryDisk | None) -> None:
        self._folder = folder
        self._disk = disk
        self._copies = 0
        self._database = self._open(folder / "db")

    def do(self, kind: str, *arguments: object) -> object:
        """Do one operation and return what it answers."""
        return getattr(self, kind)(*arguments)

    def write(self, puts: Sequence[tuple[bytes, bytes]], deletes: Sequence[bytes]) -> None:
        """Put and delete together."""
        together = Puts()
        for key, value in puts:
            together.put(key, value)
        self._database.write(together, deletes)

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return values."""
        return self._database.get(keys)

    def scan(self, prefix: bytes, start: bytes) -> list[tuple[bytes, bytes]]:
        """Return records in order."""
        return list(self._database.scan(prefix, start))

    def sync(self) -> None:
        """Force to disk."""
        self._database.sync()

    def compact(self) -> None:
        """Rewrite."""
        self._database.compact()

    def reopen(self) -> None:
        """Close and open again."""
        self._database.close()
        self._database = self._open(self._folder / "db")

    def checkpoint(self) -> list[tuple[bytes, bytes]]:
        """Make a copy, and return what is in it."""
        self._copies += 1
        path = self._folder / f"copy-{self._copies}"
        self._database.checkpoint(path)
        copy = self._open(path)
        found = list(copy.scan(b""))
        copy.close()
        return found

    def close(self) -> None:
        """Close."""
        self._database.close()

    def _open(self, path: Path) -> Database:
        return (
            Database.open(path, SETTINGS)
            if self._disk is None
            else MemoryDatabase(path, self._disk)
        )


@given(operations)
@settings(max_examples=40 * EFFORT)
def test_twin_answers_as_rocksdb_does(steps: list[tuple[object, ...]]) -> None:
    """Reads, scans, writes, copies and reopening answer alike, after any operations
    before.
    """
    with TemporaryDirectory() as folder:
        twins = [Twin(Path(folder), None), Twin(Path(folder), MemoryDisk())]
        try:
            for kind, *arguments in [*steps, ("scan", b"", b""), ("checkpoint",)]:
                rocks, memory = (twin.do(str(kind), *arguments) for twin in twins)
                assert memory == rocks, kind
        finally:
            for twin in twins:
                twin.close()


@pytest.fixture(params=["rocksdb", "memory"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """Return an empty database of either kind."""
    if request.param == "rocksdb":
        return Database.open(tmp_path / "db", SETTINGS)
    return MemoryDatabase(tmp_path / "db", MemoryDisk())


def test_checkpoint_replaces_nothing(database: Database, tmp_path: Path) -> None:
    """A copy does not go where something is."""
    database.checkpoint(tmp_path / "copy")

    with pytest.raises(StoreWriteFailed, match="no checkpoint"):
        database.checkpoint(tmp_path / "copy")
    database.close()


def test_closed_database_answers_nothing(database: Database) -> None:
    """Reading after closing is an error, not an empty answer."""
    database.close()

    with pytest.raises(StoreError):
        database.get([b"x"])


def test_states_since_the_last_sync_are_kept() -> None:
    """What a power cut may leave is any state since the disk was last forced."""
    disk = MemoryDisk()
    database = MemoryDatabase(Path("db"), disk)
    for number in range(3):
        database.write(Puts.of({b"a": bytes([number])}))
    states = disk.states(Path("db"))

    assert states == [{}, {b"a": b"\0"}, {b"a": b"\1"}, {b"a": b"\2"}]
    database.sync()
    assert states == [{b"a": b"\2"}]
