"""The lines of one file or pipe with their numbers, read once."""

import select
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from stream.sources.content import Content

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def numbered_lines(path: Path, max_line_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not blank, each with its number from 1, as the stream
    reads them: without byte order marks, unpacked where the file is gzip.

    A pipe is read to its end, and waited for.

    Args:
        path: the file or pipe.
        max_line_bytes: of a longer line only the first ``max_line_bytes + 1`` bytes are
            kept.

    Raises:
        SourceUnreadable: it cannot be opened, is damaged or cut short, or holds
            something else than text; every whole line before that was yielded.
    """
    with closing(Content(path)) as content:
        number, rest = 0, b""
        for chunk in _chunks(content):
            *complete, rest = (rest + chunk).split(b"\n")
            rest = rest[: max_line_bytes + 1]
            for line in complete:
                number += 1
                if usable := _usable(line):
                    yield number, usable[: max_line_bytes + 1]
        content.check_whole()
        if usable := _usable(rest):
            yield number + 1, usable[: max_line_bytes + 1]


def _chunks(content: Content) -> Iterator[bytes]:
    waiting = select.poll()
    waiting.register(content.descriptor, select.POLLIN)
    while True:
        chunk = content.read()
        if chunk:
            yield chunk
        elif content.is_at_end:
            return
        else:
            waiting.poll()


def _usable(line: bytes) -> bytes:
    while line.startswith(_BYTE_ORDER_MARK):
        line = line.removeprefix(_BYTE_ORDER_MARK)
    return b"" if line.isspace() else line
