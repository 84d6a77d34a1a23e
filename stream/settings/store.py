"""What a store takes of disk and memory, and where its copies are."""

from dataclasses import dataclass

from stream.settings.bounds import check_bounds

# Seconds, 30 days; chosen by hand: who has to erase has to within a month.
_MAX_PURGE_SECONDS = 30 * 86400.0


@dataclass(frozen=True, kw_only=True)
class StoreSettings:
    """The store on disk, its feed, its checkpoints and backups."""

    # One process can write several shards, and several processes need several.
    num_shards: int = 1
    """Shards of a new store that files are read into.

    With Kafka the partition count of the topics decides.
    """

    # Milliseconds; chosen by hand. Twice as long halves the fsyncs, and a power cut
    # loses 400 ms of writes, which Kafka delivers again.
    sync_every_ms: int = 200
    """How often the write-ahead log is synced to disk, in milliseconds: what a power
    cut can lose. 0: after every write.
    """

    # Bytes; chosen by hand. Twice as much: fewer flushes, 32 MiB more memory a shard.
    memtable_bytes: int = 32 * 1024 * 1024
    """RocksDB's write buffer of a shard, in bytes."""

    # Bytes; chosen by hand. Twice as much: fewer reads from disk of a large graph.
    block_cache_bytes: int = 256 * 1024 * 1024
    """RocksDB's read cache, in bytes, shared by all shards of a process.

    Their write buffers count towards it.
    """

    # Bytes, four memtables. Twice as much: fewer flushes with many shards.
    write_buffers_bytes: int = 128 * 1024 * 1024
    """RocksDB's write buffers of all shards of a process together, in bytes; a larger
    total is flushed.
    """

    # Bytes, two memtables. Twice as much doubles what a restart replays.
    max_wal_bytes: int = 64 * 1024 * 1024
    """Largest write-ahead log of a shard, in bytes; a restart replays at most this
    much.
    """

    # Seconds, half the session timeout. Twice as long delays a takeover after a crash
    # by 5 s more.
    takeover_wait_seconds: float = 5.0
    """How long to wait, in seconds, for another process to release a shard.

    After that opening fails, or takes the shard over if the consumer group assigned it
    to this process.
    """

    checkpoints_url: str = ""
    """Folder or fsspec URL of the shards' checkpoints, from which another machine
    restores them. Empty: no checkpoints.
    """

    # Five minutes, chosen by hand. Twice as long halves the uploads, and a restored
    # shard reads ten minutes from Kafka again.
    checkpoint_every_seconds: float = 300.0
    """How often a shard that changed is checkpointed, in seconds.

    A restored shard reads later records from Kafka again.
    """

    backups_url: str = ""
    """Folder or fsspec URL of the store's backups, for `freshet backup` and `freshet
    restore` where they are given none, and where `freshet erase --store` notes what it
    erases. Empty: none.
    """

    # Bytes, chosen by hand: some two million events. Twice as many let whoever follows
    # the graph be away twice as long before it needs a new snapshot.
    feed_bytes: int = 256 * 1024 * 1024
    """What the change feed of a shard keeps on disk, in bytes; the oldest changes go
    first. 0: no feed is kept, and changes reach answers with the next generation.
    """

    # An hour, chosen by hand: far below what any law asks for, and a shard's files are
    # rewritten at most so often. Twice as long halves that.
    purge_after_seconds: float = 3600.0
    """How long after an erasure, in seconds, the files of a shard are rewritten so that
    its bytes leave them, and then its checkpoints.

    Erasures of that time are purged together.
    """

    # Seconds; a snapshot of 10 million edges takes under one, so only a stalled process
    # takes as long. Twice as long reports it a minute later.
    snapshot_timeout_seconds: float = 60.0
    """How long to wait, in seconds, for the process that holds the store to answer a
    snapshot request.
    """

    def _check_store(self) -> None:
        # 9999 shards are what `shard-0000` can name.
        check_bounds("num_shards", self.num_shards, 1, 9999)
        check_bounds("sync_every_ms", self.sync_every_ms, 0, 60_000)
        for name in ("memtable_bytes", "block_cache_bytes", "write_buffers_bytes", "max_wal_bytes"):
            check_bounds(name, getattr(self, name), 64 * 1024, 64 * 1024**3)
        if self.feed_bytes:
            check_bounds("feed_bytes", self.feed_bytes, 64 * 1024, 64 * 1024**3)
        for name in ("snapshot_timeout_seconds", "checkpoint_every_seconds"):
            check_bounds(name, getattr(self, name), 0.01, 86400.0)
        check_bounds("takeover_wait_seconds", self.takeover_wait_seconds, 0.0, 3600.0)
        check_bounds("purge_after_seconds", self.purge_after_seconds, 0.0, _MAX_PURGE_SECONDS)
