"""How a database is opened: our settings as RocksDB's, and memory that all share."""

from rocksdict import (
    BlockBasedOptions,
    Cache,
    CompactOptions,
    DBCompressionType,
    Options,
    WriteBufferManager,
    WriteOptions,
)

from stream.settings import StreamSettings

# Bits; RocksDB's usual choice: one look-up in a hundred reads a block in vain.
# Twice as many: one in ten thousand, for twice the memory.
_BLOOM_BITS_PER_KEY = 10
# Bytes of RocksDB's own log; only for whoever looks for the reason of a fault.
_MAX_INFO_LOG_BYTES = 4 * 1024 * 1024
# Files; RocksDB's default is 4. Twice as many are compacted half as often, and
# every scan merges up to twice as many.
_FILES_BEFORE_COMPACTION = 8


class Memory:
    """What all databases of a process share, so that their number does not multiply it.

    Args:
        settings: `block_cache_bytes` and `write_buffers_bytes`.
    """

    def __init__(self, settings: StreamSettings) -> None:
        self._cache = Cache(settings.block_cache_bytes)
        self._write_buffers = WriteBufferManager.new_write_buffer_manager_with_cache(
            settings.write_buffers_bytes,
            False,
            self._cache,  # it never stalls a writer
        )

    def limit(self, options: Options, table: BlockBasedOptions) -> None:
        """Make a database that is opened with these options share this memory."""
        table.set_block_cache(self._cache)
        options.set_write_buffer_manager(self._write_buffers)


def database_options(settings: StreamSettings, memory: Memory) -> Options:
    """Translate our settings into RocksDB's; the only place that does."""
    table = BlockBasedOptions()
    table.set_bloom_filter(_BLOOM_BITS_PER_KEY, block_based=False)
    options = Options(raw_mode=True)
    memory.limit(options, table)
    options.create_if_missing(True)
    options.set_block_based_table_factory(table)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_write_buffer_size(settings.memtable_bytes)
    # A shard is written by one thread, which then need not guard against others.
    options.set_allow_concurrent_memtable_write(False)
    options.set_level_zero_file_num_compaction_trigger(_FILES_BEFORE_COMPACTION)
    options.set_max_total_wal_size(settings.max_wal_bytes)
    options.set_max_log_file_size(_MAX_INFO_LOG_BYTES)
    options.set_keep_log_file_num(2)
    return options


def without_waiting() -> WriteOptions:
    """A write that would have to wait fails instead.

    Waiting would hold the interpreter, and heartbeats.
    """
    options = WriteOptions()
    options.no_slowdown = True
    return options


def beside_others() -> CompactOptions:
    """A compaction by hand that does not keep RocksDB from its own."""
    options = CompactOptions()
    options.set_exclusive_manual_compaction(False)
    return options
