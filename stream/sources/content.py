"""The unpacked bytes of a plain or gzip file or pipe, read forward."""

import os
import select
import stat
import zlib
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path

from stream.errors import SourceUnreadable, refusal
from stream.sources.forms import binary_form

HEAD_BYTES = 4096
"""Bytes of the beginning that tell one file from another; event lines are shorter.

Twice as many tell apart files whose first lines are that long.
"""

_GZIP_MAGIC = b"\x1f\x8b"
# zlib's number for gzip with the largest window.
_GZIP_WINDOW = 31
# Bytes read of the file at once: bounds memory.
_RAW_CHUNK_BYTES = 128 * 1024
# Bytes at the start that tell what a file is; a pipe is waited on for them. More would
# keep a first short line of a slow pipe waiting.
_START_BYTES = 16
# Bytes unpacked at once: bounds memory for a file that unpacks to much.
_UNPACKED_CHUNK_BYTES = 1024 * 1024
# A gzip member ends with its size, modulo 2**32.
_SIZE_BYTES = 4
# How near to that size what was unpacked of a member without an end comes, as a share
# of it, if the end is there and was not seen: a flipped bit changes a few lengths. The
# last bytes of a file of 100 MB that is cut short come as near once in 200 times, twice
# as far once in 100, and then nothing is read of what could have been.
_NEAR = 0.1


def proof_of(path: Path) -> Iterator[None]:
    """Unpack a gzip file once, and yield after each chunk.

    A bit that flipped may give text that looks like lines; only the checksum at the end
    of a member tells, when they would be applied long since. What is cut short has
    none, and is right as far as it goes; but where it ends with the very size that was
    unpacked, it is whole, and damage hides the end of its data.

    Args:
        path: a file, no pipe; one that is not gzip is proven at once.

    Raises:
        SourceUnreadable: it is damaged, or cannot be read.
    """
    with closing(Content(path)) as content:
        while content.read() and content.is_gzip:
            yield
        content.check_end()


def is_pipe(path: Path) -> bool:
    """Return whether a path names something that can be read only once, forward: a
    FIFO, standard input from another program, a terminal.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


class Content:
    """Reads one open file or pipe.

    Args:
        path: plain, or gzip of any number of members (told by its first bytes).

    Raises:
        SourceUnreadable: it cannot be opened or read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._raw: _RawFile | _RawPipe = _RawPipe(path) if is_pipe(path) else _RawFile(path)
        self._is_gzip: bool | None = None
        self._member: zlib._Decompress | None = None
        self._num_unpacked = 0
        self._packed = b""
        self._is_known = False

    def rewind(self) -> None:
        """Go back to the start; a pipe must not have been read yet."""
        self._raw.num_bytes = 0
        self._is_gzip = None
        self._member = None
        self._packed = b""
        self._is_known = False

    @property
    def is_gzip(self) -> bool:
        """Whether it is packed, once its start was read."""
        return bool(self._is_gzip)

    @property
    def is_pipe(self) -> bool:
        """Whether it can be read only once."""
        return isinstance(self._raw, _RawPipe)

    @property
    def inode(self) -> int:
        """The number of the file."""
        return os.fstat(self._raw.descriptor).st_ino

    @property
    def descriptor(self) -> int:
        """What to wait for."""
        return self._raw.descriptor

    @property
    def num_raw_bytes(self) -> int:
        """Bytes read of the file as it is on disk, or of the pipe."""
        return self._raw.num_bytes

    @property
    def is_at_end(self) -> bool:
        """Whether nothing more will come, once `read` returned nothing: for a file
        always, for a pipe when its writers are gone.
        """
        return self._raw.is_at_end

    @property
    def was_rewritten(self) -> bool:
        """Whether a file began to say something else while it was read."""
        return self._raw.was_rewritten

    def check_whole(self) -> None:
        """Refuse what has ended in the middle of its gzip data, however little there
        is of it.

        Raises:
            SourceUnreadable: a gzip member has begun and not ended.
        """
        if self._member is not None:
            raise SourceUnreadable(
                f"{self._path} is cut short: its gzip data ends in the middle; copy it again"
            )

    def check_end(self) -> None:
        """Refuse what has ended in the middle of its gzip data, although the end of
        the data is there.

        Raises:
            SourceUnreadable: it is damaged.
        """
        if self._member is None:
            return
        size = int.from_bytes(self._raw.last(_SIZE_BYTES), "little")
        unpacked = self._num_unpacked & 0xFFFFFFFF
        if unpacked and abs(unpacked - size) <= _NEAR * size:
            raise SourceUnreadable(
                f"{self._path} is damaged: its gzip data breaks before its end; copy it again"
            )

    def read(self) -> bytes:
        """Return the next bytes; none: there are no more now.

        Raises:
            SourceUnreadable: it is damaged, or holds something else than text.
        """
        if not self._look_at_start():
            return b""
        if self._is_gzip:
            chunk = self._unpack()
        else:
            chunk, self._packed = self._packed, b""
            chunk = chunk or self._raw.read(_RAW_CHUNK_BYTES)
        if chunk and not self._is_known:
            self._is_known = True
            if form := binary_form(chunk):
                raise SourceUnreadable(f"nothing in {self._path} can be used: it {form}")
        return chunk

    @property
    def is_read_up(self) -> bool:
        """Whether nothing is left of a file as it is on disk, unpacked or not."""
        return not self._packed and not self._raw.left()

    def skip_to(self, offset: int) -> Generator[None, None, bool]:
        """Go to an offset of the unpacked content, and yield after each chunk; False:
        there is no such place.
        """
        if not offset:
            return True
        if not self._look_at_start():
            return False
        self._is_known = True  # what comes next is not its start
        if not self._is_gzip:
            self._packed = b""
            self._raw.num_bytes = offset
            return offset <= os.fstat(self._raw.descriptor).st_size
        while offset:
            unpacked = self._unpack(min(offset, _UNPACKED_CHUNK_BYTES))
            if not unpacked:
                return False
            offset -= len(unpacked)
            yield
        return True

    def was_replaced(self) -> bool:
        """Whether the path names another file by now, or this one was cut back."""
        return self._raw.was_replaced()

    def close(self) -> None:
        """Close it."""
        self._raw.close()

    def _look_at_start(self) -> bool:
        """Read until the first bytes tell what it is; return whether they do."""
        while self._is_gzip is None:
            chunk = self._raw.read(_RAW_CHUNK_BYTES)
            self._packed += chunk
            if len(self._packed) >= _START_BYTES or (self._packed and self._raw.is_at_end):
                self._is_gzip = self._packed.startswith(_GZIP_MAGIC)
            elif not chunk:
                return False
        return True

    def _unpack(self, max_bytes: int = _UNPACKED_CHUNK_BYTES) -> bytes:
        unpacked = b""
        while not unpacked and self._has_packed():
            if self._member is None:
                self._member, self._num_unpacked = zlib.decompressobj(_GZIP_WINDOW), 0
            unpacked = self._inflate(self._member, max_bytes)
        return unpacked

    def _has_packed(self) -> bool:
        self._packed = self._packed or self._raw.read(_RAW_CHUNK_BYTES)
        while self._member is None and self._packed.startswith(
            b"\0"
        ):  # padding that some tools leave at the end
            self._packed = self._packed.lstrip(b"\0") or self._raw.read(_RAW_CHUNK_BYTES)
        return bool(self._packed)

    def _inflate(self, member: "zlib._Decompress", max_bytes: int) -> bytes:
        try:
            unpacked = member.decompress(self._packed, max_bytes)
        except zlib.error as error:
            place = f"before byte {self.num_raw_bytes}"
            raise SourceUnreadable(
                f"{self._path} is damaged: its gzip data breaks {place}; copy it again"
            ) from error
        self._packed = member.unconsumed_tail
        self._num_unpacked += len(unpacked)
        if member.eof:
            self._packed = member.unused_data
            self._member = None
        return unpacked


class _RawFile:
    """The bytes of a file as it is on disk."""

    is_at_end = True

    def __init__(self, path: Path) -> None:
        self._path = path
        self.descriptor = _open(path, 0)
        self.num_bytes = 0
        self.was_rewritten = False
        self._head = b""
        try:
            self._read_at(0, 1)  # a folder can be opened
        except SourceUnreadable:
            self.close()
            raise

    def read(self, max_bytes: int) -> bytes:
        """Return the next bytes on disk.

        None once the file was cut back and grew again unseen.
        """
        raw = self._read_at(self.num_bytes, max_bytes)
        if raw and self._read_at(0, len(self._head)) != self._head:
            self.was_rewritten = True
        if self.was_rewritten:
            return b""
        if self.num_bytes == 0:
            self._head = raw[:HEAD_BYTES]
        self.num_bytes += len(raw)
        return raw

    def left(self) -> int:
        """Return how many bytes were not read yet."""
        return max(os.fstat(self.descriptor).st_size - self.num_bytes, 0)

    def last(self, num_bytes: int) -> bytes:
        """Return the last bytes on disk."""
        size = os.fstat(self.descriptor).st_size
        return self._read_at(max(size - num_bytes, 0), num_bytes)

    def was_replaced(self) -> bool:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        shrunk = status.st_size < self.num_bytes
        inode = os.fstat(self.descriptor).st_ino
        return shrunk or status.st_ino != inode or self.was_rewritten

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def _read_at(self, offset: int, num_bytes: int) -> bytes:
        try:
            return os.pread(self.descriptor, num_bytes, offset)
        except OSError as error:
            raise SourceUnreadable(f"{self._path} cannot be read: {error.strerror}") from error


class _RawPipe:
    """What comes out of a pipe; a read never waits."""

    was_rewritten = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self.descriptor = _open(path, os.O_NONBLOCK | os.O_NOCTTY)
        self._is_fifo = stat.S_ISFIFO(os.fstat(self.descriptor).st_mode)
        self._poll = select.poll()
        self._poll.register(self.descriptor, 0)
        self.num_bytes = 0
        self.is_at_end = False

    def read(self, max_bytes: int) -> bytes:
        """Return what there is now, perhaps nothing."""
        try:
            raw = os.read(self.descriptor, max_bytes)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise SourceUnreadable(f"{self._path} cannot be read: {error.strerror}") from error
        # Nothing is the end, but in a FIFO that nobody opened for writing yet.
        self.is_at_end = not raw and (not self._is_fifo or bool(self._poll.poll(0)))
        self.num_bytes += len(raw)
        return raw

    def left(self) -> int:
        """Nobody knows what is still to come."""
        return 0

    def last(self, num_bytes: int) -> bytes:  # noqa: ARG002  # what a pipe ends with is gone
        """Nobody can look back."""
        return b""

    def was_replaced(self) -> bool:
        return False

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def _open(path: Path, flags: int) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    except OSError as error:
        if path.is_socket():
            raise SourceUnreadable(
                f"{path} is a socket; read it through a pipe: ... | cat | freshet ..."
            ) from error
        refused = refusal(error)
        advice = f"; {refused}" if refused else ""
        raise SourceUnreadable(f"{path} cannot be opened: {error.strerror}{advice}") from error
