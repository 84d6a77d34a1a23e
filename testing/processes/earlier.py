"""Processes of the version before, as far as formats go: ``python -m
testing.processes.earlier serve ARTIFACTS HOST:PORT`` and ``... stream STORE SHARD``.

The server is today's, told that generations of the format version before are the newest
there are: it refuses what a server from before refuses. The stream holds a shard of a
store of format version 1 as one from before does, its lock and its RocksDB, and writes
positions in the layout of then, a line on standard output each, until standard input is
closed.
"""

import select
import sys
from pathlib import Path
from struct import Struct

from freshet import process
from freshet.commands.cli import cli
from model.artifact import manifest
from stream.events.types import SourcePartition
from stream.settings import StreamSettings
from stream.shard import codec
from stream.shard.fencing import shard_name
from stream.shard.locks import FileLock
from stream.shard.rocksdb import Database, Puts

_POSITION = Struct(">BQ")  # of format version 1


def serve(artifacts: str, listen: str) -> int:
    """Serve as a version that does not know today's format."""
    manifest.FORMAT_VERSION -= 1
    arguments = ["serve", "--artifacts", artifacts, "--listen", listen, "--metrics", "127.0.0.1:0"]
    return process.run(cli, arguments)


def stream(store: str, shard: str) -> int:
    """Hold a shard, and move a position on again and again."""
    index = int(shard)
    folder = Path(store, shard_name(index))
    lock = FileLock(folder.with_name(f"{folder.name}.lock"))
    assert lock.try_acquire()
    database = Database.open(folder, StreamSettings())
    key = codec.position_key(SourcePartition("freshet.erasures", index))
    offset = 0
    while not select.select([sys.stdin], [], [], 0.01)[0]:
        offset += 1
        database.write(Puts.of({key: _POSITION.pack(1, offset)}))
        sys.stdout.write(f"{offset}\n")
        sys.stdout.flush()
    database.close()
    lock.release()
    return 0


if __name__ == "__main__":
    sys.exit({"serve": serve, "stream": stream}[sys.argv[1]](*sys.argv[2:]))
