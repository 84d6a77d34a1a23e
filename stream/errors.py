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
    │   ├── StoreRefused    the operating system refuses open files, rights or memory
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
    ├── BackupError
    │   ├── BackupsUnavailable  their URL cannot be reached or written (retriable)
    │   ├── BackupBusy          another backup is under way there (retriable)
    │   ├── BackupMissing       there is no such backup
    │   ├── BackupDamaged       a backup is not what its manifest says
    │   ├── BackupMismatch      the URL holds another store's, or a later format
    │   └── RestoreRefused      the folder to restore into cannot take it
    ├── FeedUnreadable      the files of the change feed cannot be read (retriable)
    ├── SourceError
    │   ├── SourceUnreadable   a file is missing, cut short, or may not be read
    │   ├── SourceUnavailable  no broker answers, or a topic is missing (retriable)
    │   ├── TopicRecreated     a topic is not the one that the store has read
    │   └── SourceMismatch     the topics' partitions do not fit each other or the store
    ├── QuarantineFailed       rejected records could not be kept (retriable)
    │   └── QuarantineUnavailable  their topic is gone, or its broker (retriable)
    ├── RegistryUnavailable    the schema registry does not answer (retriable)
    └── PublishFailed          an event could not be handed to the broker (retriable)
"""

import errno
import os
import resource
from collections.abc import Mapping
from contextlib import suppress

PARSE_ERRORS = (ValueError, RecursionError)
"""What decoding JSON or MessagePack raises on bytes that nobody wrote: the second on
brackets in brackets in brackets.
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

    Restore a backup (`freshet restore`), or rebuild the store.
    """


class StoreRefused(StoreError):
    """The operating system refuses what opening the store takes; its files are whole.

    Raise the limit or give the right that the message names, then start again.
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


class BackupError(StreamError):
    """A backup could not be made, read or restored."""


class BackupsUnavailable(BackupError):
    """The place of the backups cannot be reached or written.

    Check URL, network, rights and room; what is there already is used by the next try.
    """

    retriable = True


class BackupBusy(BackupError):
    """Another process makes or prunes backups at the URL.

    Wait for its end; one that died is passed over two minutes later.
    """

    retriable = True


class BackupMissing(BackupError):
    """There is no such backup. ``freshet backup list`` shows which there are."""


class BackupDamaged(BackupError):
    """A file of a backup is missing, or is not what its manifest says.

    Nothing was restored: take another backup, or an intact copy of the file.
    """


class BackupMismatch(BackupError):
    """The URL holds the backups of another store, or of a later version.

    Give each store a URL of its own; restore with the version that made the backup.
    """


class RestoreRefused(BackupError):
    """The folder to restore into is not empty, or has no room.

    Nothing in it was touched: choose another one, or move away what is there.
    """


class FeedUnreadable(StreamError):
    """The files of the change feed cannot be read.

    Mend the disk or the rights; without the feed, changes come with the next snapshot.
    """

    retriable = True


class SourceError(StreamError):
    """Events cannot be read from where the settings say."""


class SourceUnreadable(SourceError):
    """A file is missing, cut short, damaged, or may not be read.

    What came before is applied, of a damaged gzip file nothing; mend or replace it.
    """


class SourceUnavailable(SourceError):
    """No broker answers, or topics are missing.

    Check address, network and broker; then try again.
    """

    retriable = True


class TopicRecreated(SourceError):
    """A topic is not the one that the store has read, and the settings say to stop.

    Set stream.on_topic_recreated to "read" to read it from its start.
    """


class SourceMismatch(SourceError):
    """The topics do not fit each other or the store.

    The message names the partition counts.
    """


class QuarantineFailed(StreamError):
    """Rejected records could not be kept, so their batch was not applied.

    Mend disk or topic, restart.
    """

    retriable = True


class QuarantineUnavailable(QuarantineFailed):
    """The quarantine topic does not take rejected records: it is gone, or its broker.

    Create it again, or mend the broker; the stream waits, and loses nothing.
    """


class RegistryUnavailable(StreamError):
    """The schema registry does not answer, or lets nobody read.

    Mend it, its address or its password; the stream waits, and loses nothing.
    """

    retriable = True


class PublishFailed(StreamError):
    """An event could not be handed to the broker.

    Check it, then publish again: repeats do no harm.
    """

    retriable = True


# What a process holds open of a shard besides its data files: lock, log, manifest and
# write-ahead log of RocksDB, its folder twice, and OWNER. RocksDB decides.
_FILES_OF_SHARD = 7
# The limit that the advice names: what RocksDB's own guide starts at. Twice as much
# does no harm.
_ADVISED_FILES = 65_536
_REFUSALS: Mapping[int, str] = {
    errno.EMFILE: "",  # said with its figures
    errno.ENFILE: "the machine's limit of open files is reached; raise fs.file-max",
    errno.ENOSPC: "the disk is full; free space",
    errno.EDQUOT: "the disk quota is used up; free space, or raise it",
    errno.EFBIG: "the largest size of a file is reached; raise it (ulimit -f)",
    errno.EACCES: "the rights do not allow it; check owner and mode",
    errno.EPERM: "the rights do not allow it; check owner and mode",
    errno.EROFS: "the file system is read-only; mount it for writing",
    errno.ENOMEM: "there is no memory left; give the process or the machine more",
    errno.EAGAIN: "no more threads may be started; raise their limit (ulimit -u)",
    errno.ESTALE: "the network file system lost the file; mount it again",
    errno.ENOTCONN: "the file system is not connected any more; mount it again",
    errno.EMLINK: "the file system allows no more links to a file; use another one",
}
"""What the operating system refuses, and what to do: by error number, of whose texts
one is in what RocksDB says.
"""


def described(error: BaseException) -> str:
    """Return an error as one line: of one of the operating system the file, what the
    system says, and what to do where that is known.
    """
    said = " ".join(str(error).split()) or type(error).__name__
    if not isinstance(error, OSError):
        return said
    if error.strerror:
        said = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    refused = refusal(error)
    return f"{said}; {refused}" if refused else said


def refusal(error: BaseException) -> str | None:
    """Return what the operating system refuses and what to do, as one clause; None: the
    error is another.

    What is behind it is looked at too, by its error number, or, where a library gives
    only text, by what the system says of that number.
    """
    number = error.errno if isinstance(error, OSError) else None
    if number not in _REFUSALS:
        text = str(error)
        number = next((each for each in _REFUSALS if os.strerror(each) in text), None)
    if number is None:
        behind = error.__cause__
        return None if behind is None else refusal(behind)
    return _open_files_refusal() if number == errno.EMFILE else _REFUSALS[number]


def _open_files_refusal() -> str:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = f"this process reached its limit of {limit:,} open files"
    with suppress(OSError):  # no more files: not even the list of those that are open
        text += f" ({len(os.listdir('/proc/self/fd')):,} are open)"  # noqa: PTH208
    return (
        f"{text}; of a store, a shard takes {_FILES_OF_SHARD} and one for each of its data files: "
        f"raise the limit (ulimit -n {_ADVISED_FILES}; LimitNOFILE= in systemd, ulimits in compose)"
    )
