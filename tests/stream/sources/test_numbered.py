"""Tests of lines with their numbers."""

import gzip
from itertools import islice
from pathlib import Path

import pytest

from stream.errors import SourceUnreadable
from stream.sources.numbered import numbered_lines


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_numbers_count_blank_lines(tmp_path: Path, pack: type[bytes]) -> None:
    """They are those that an editor shows; a last line needs no newline, and a byte
    order mark is no part of one.
    """
    path = tmp_path / "lines"
    path.write_bytes(pack(b"\xef\xbb\xbf{1}\n\n \r\n{2}\r\n\xef\xbb\xbf\n{3}"))

    assert list(numbered_lines(path, 100)) == [(1, b"{1}"), (4, b"{2}\r"), (6, b"{3}")]


def test_long_lines_are_cut(tmp_path: Path) -> None:
    """To a byte more than may be, over any number of chunks."""
    path = tmp_path / "lines"
    path.write_bytes(b"x" * 400_000 + b"\n" + b"y" * 5 + b"\n" + b"z" * 300_000)

    assert list(numbered_lines(path, 4)) == [(1, b"xxxxx"), (2, b"yyyyy"), (3, b"zzzzz")]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The error says which."""
    with pytest.raises(SourceUnreadable, match="none cannot be opened"):
        list(numbered_lines(tmp_path / "none", 100))


def _collect(path: Path, found: list[tuple[int, bytes]]) -> None:
    """Add the lines of a file, as far as they come."""
    for line in numbered_lines(path, 100):
        found.append(line)  # noqa: PERF402  # what came before an error counts


@pytest.mark.parametrize(("num_bytes", "num_lines"), [(10, 0), (-1, 2)])
def test_gzip_cut_short(tmp_path: Path, num_bytes: int, num_lines: int) -> None:
    """It is told after the whole lines, as `freshet stream` tells it, and no part of a
    line is taken for one.
    """
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(b"{1}\n{2}\n{3")[:num_bytes])
    lines = numbered_lines(path, 100)

    assert len(list(islice(lines, num_lines))) == num_lines
    with pytest.raises(SourceUnreadable, match="cut short"):
        next(lines)
