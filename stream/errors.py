"""The errors of the stream, each with what the operator should do.

::

    StreamError
    ├── SettingsInvalid     a setting has a value that cannot work
    ├── StoreError
    │   ├── StoreMissing    there is no store (or snapshot) at the path
    │   ├── StoreMismatch   the store was made with other settings or another format
    │   ├── StoreBusy       another process has the shard open (retriable)
    │   ├── StoreFenced     another process took the shard over (retriable)
    │   ├── StoreUnreadable the files are damaged, or are not what they should be
    │   ├── StoreStalled    RocksDB refuses writes: the disk is too slow (retriable)
    │   ├── StoreWriteFailed  the disk refused a write: nothing was applied
    │   ├── CheckpointsUnavailable  their URL cannot be reached (retriable)
    │   ├── CheckpointDamaged  a checkpoint is not what its manifest says
    │   └── CheckpointRefused  another process keeps the checkpoints of the shard by now
    ├── SnapshotError
    │   ├── SnapshotExists      the output folder is there already
    │   ├── SnapshotTimedOut    the holder of the store did not answer (retriable)
    │   ├── SnapshotRefused     the holder could not make the checkpoint (retriable)
    │   └── SnapshotUnreadable  the folder is no snapshot, or is damaged
    ├── SourceError
    │   ├── SourceUnreadable   a file is missing, cut short, or may not be read
    │   ├── SourceUnavailable  no broker answers, or a topic is missing (retriable)
    │   └── SourceMismatch     the topics' partitions do not fit each other or the store
    ├── QuarantineFailed       rejected records could not be kept (retriable)
    └── PublishFailed          an event could not be handed to the broker (retriable)
"""


class StreamError(Exception):
    """Something in the stream went wrong.

    The message is one line: what, where, what to do.

    Attributes:
        retriable: the same call may succeed later without anybody changing anything.
    """

    retriable = False


class SettingsInvalid(StreamError):
    """A setting has a value that cannot work.

    Correct it; the message names the key and the bounds.
    """


class StoreError(StreamError):
    """The store cannot be used as asked."""


class StoreMissing(StoreError):
    """There is no store at the path.

    Check the path, or run ``freshet stream`` first.
    """


class StoreMismatch(StoreError):
    """The store was made with other settings or another version.

    Use those, or build a new store.
    """


class StoreBusy(StoreError):
    """Another process has the shard open for writing.

    Stop it, or choose another store; then try again.
    """

    retriable = True


class StoreFenced(StoreError):
    """Another process took the shard over, and nothing more is written.

    Start again to get a share back.

    Attributes:
        shard: the shard's index.
    """

    retriable = True

    def __init__(self, message: str, shard: int) -> None:
        super().__init__(message)
        self.shard = shard


class StoreUnreadable(StoreError):
    """The files of a store are damaged.

    Restore them from a snapshot, or rebuild the store.
    """


class StoreStalled(StoreError):
    """RocksDB refuses writes until it has caught up with flushes.

    The worker waits and tries again.
    """

    retriable = True


class StoreWriteFailed(StoreError):
    """The disk refused a write.

    Nothing of the batch was applied: free space, then start again.
    """


class CheckpointsUnavailable(StoreError):
    """The place of the checkpoints cannot be reached.

    Check stream.checkpoints_url, network and rights.
    """

    retriable = True


class CheckpointDamaged(StoreError):
    """A checkpoint is not what its manifest says.

    An older one is tried; remove those that are damaged.
    """


class CheckpointRefused(StoreError):
    """Another process keeps the shard's checkpoints by now, so none of this process is
    put beside them.
    """


class SnapshotError(StreamError):
    """A snapshot could not be taken or opened."""


class SnapshotExists(SnapshotError):
    """The output folder exists already. Choose another name."""


class SnapshotTimedOut(SnapshotError):
    """The process that holds the store did not answer in time.

    See whether it is alive, then try again.
    """

    retriable = True


class SnapshotRefused(SnapshotError):
    """The process that holds the store could not make the checkpoint.

    The message carries its reason.
    """

    retriable = True


class SnapshotUnreadable(SnapshotError):
    """The folder is no snapshot, or is damaged. Take a new one."""


class SourceError(StreamError):
    """Events cannot be read from where the settings say."""


class SourceUnreadable(SourceError):
    """A file is missing, cut short, or may not be read.

    What came before is applied; mend or replace it.
    """


class SourceUnavailable(SourceError):
    """No broker answers, or topics are missing.

    Check address, network and broker; then try again.
    """

    retriable = True


class SourceMismatch(SourceError):
    """The topics do not fit each other or the store.

    The message names the partition counts.
    """


class QuarantineFailed(StreamError):
    """Rejected records could not be kept, so their batch was not applied.

    Mend disk or topic, restart.
    """

    retriable = True


class PublishFailed(StreamError):
    """An event could not be handed to the broker.

    Check it, then publish again: repeats do no harm.
    """

    retriable = True
