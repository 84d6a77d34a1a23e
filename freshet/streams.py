"""The standard streams, whatever the caller did to them: closed ones lead nowhere, and
what cannot be told on stderr ends nothing.
"""

import io
import os
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_IN, _OUT, _ERR = range(3)


class _Out(io.FileIO):
    """What stdout writes to: its failures have its name."""

    def write(self, data: "ReadableBuffer", /) -> int:
        """Write."""
        try:
            return super().write(data)
        except OSError as error:
            raise OSError(error.errno, error.strerror, _OUT_NAME) from error


class _Err(io.FileIO):
    """What stderr writes to: a log that nobody can read any more, as where its disk is
    full or its terminal is gone, is no reason to end.
    """

    def write(self, data: "ReadableBuffer", /) -> int:
        """Write, or let it be."""
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


_OUT_NAME: Final = "standard output"


def settle_streams() -> None:
    """Make the standard streams usable; call it before anything opens a file.

    A number that is closed would be given to the next file, such as one of a store, and
    what is printed would be written into it.
    """
    for number in (_IN, _OUT, _ERR):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
            os.set_inheritable(opened, True)
    if sys.stdin is None:
        sys.stdin = open(_IN, closefd=False)  # noqa: SIM115  # for good
    sys.stdout = _text(_Out(_OUT, "w", closefd=False), sys.stdout)
    sys.stderr = _text(_Err(_ERR, "w", closefd=False), sys.stderr, is_log=True)


def _text(raw: io.FileIO, before: object, *, is_log: bool = False) -> io.TextIOWrapper:
    """Return a stream on a file as Python made the one before."""
    is_unbuffered = getattr(before, "write_through", False)
    encoding, errors = _codec(before, is_screen=is_log or raw.isatty())
    return io.TextIOWrapper(
        raw if is_unbuffered else io.BufferedWriter(raw),  # as `python -u` does
        encoding=encoding,
        errors=errors,
        line_buffering=is_log or raw.isatty(),
        write_through=is_unbuffered,
    )


def _codec(before: object, *, is_screen: bool) -> tuple[str, str]:
    """Return what text is encoded by, and what becomes of what that cannot write.

    Files and pipes get UTF-8, as the formats have it, whatever the locale is; a
    terminal of another encoding gets what it can show, and escapes of the rest.
    """
    encoding = str(getattr(before, "encoding", None) or "utf-8")
    errors = str(getattr(before, "errors", None) or "backslashreplace")
    if not is_screen and not os.environ.get("PYTHONIOENCODING"):
        encoding = "utf-8"
    return encoding, "backslashreplace" if errors == "strict" else errors
