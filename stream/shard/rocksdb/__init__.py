"""One RocksDB: opened, read, scanned, written, copied. Knows no records."""

from stream.shard.rocksdb.beside import copy_while_written, holds_database
from stream.shard.rocksdb.database import Database, Entry, KeyRange
from stream.shard.rocksdb.errors import busy, store_error
from stream.shard.rocksdb.options import Memory
from stream.shard.rocksdb.puts import Puts

__all__ = [
    "Database",
    "Entry",
    "KeyRange",
    "Memory",
    "Puts",
    "busy",
    "copy_while_written",
    "holds_database",
    "store_error",
]
