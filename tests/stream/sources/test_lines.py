"""Lines of files: offsets, resuming, gzip in all its forms, damage, and memory that
stays bounded.
"""

import gzip
import os
import socket
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stream.errors import SourceUnreadable
from stream.sources.forms import binary_form
from stream.sources.lines import Line, LineReader

MAX_LINE_BYTES = 1000


def skipped(reader: LineReader, offset: int) -> bool:
    """Go to an offset; return whether there is such a place."""
    steps = reader.skip_to(offset)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return bool(end.value)


def read_all(
    path: Path, start: int = 0, at_once: int = 7, max_line_bytes: int = MAX_LINE_BYTES
) -> list[Line]:
    """Read a file to its end, a few lines at a time."""
    reader = LineReader(path, max_line_bytes)
    assert skipped(reader, start)
    found: list[Line] = []
    while lines := reader.read(at_once, final=True):
        found += lines
    assert reader.ended
    reader.close()
    return found


def written(folder: Path, content: bytes) -> list[Path]:
    """Write content plainly, as gzip, and as gzip of two members.

    Return the three files.
    """
    half = len(content) // 2
    forms = {
        "plain": content,
        "one.gz": gzip.compress(content),
        "two-members": gzip.compress(content[:half]) + gzip.compress(content[half:]),
    }
    for name, packed in forms.items():
        (folder / name).write_bytes(packed)
    return [folder / name for name in forms]


def test_offsets_and_blank_lines(tmp_path: Path) -> None:
    """Lines come with the offsets of the unpacked content; blank ones are left out."""
    for path in written(tmp_path, b"one\n\n  \r\ntwo\r\nthree\n"):
        assert read_all(path) == [Line(0, 4, b"one"), Line(9, 14, b"two\r"), Line(14, 20, b"three")]


def test_only_line_without_newline(tmp_path: Path) -> None:
    """A file of one line without a newline is not lost."""
    for path in written(tmp_path, b"one"):
        assert read_all(path) == [Line(0, 0, b"one")]


def test_last_line_without_newline(tmp_path: Path) -> None:
    """It is taken at the end, but reading would go on at its start, because it may have
    grown by then.
    """
    for path in written(tmp_path, b"one\ntwo"):
        assert read_all(path) == [Line(0, 4, b"one"), Line(4, 4, b"two")]


def test_unfinished_line_is_not_taken_while_the_file_may_grow(tmp_path: Path) -> None:
    """Without `final` only complete lines come, and what is added later is seen."""
    path = tmp_path / "growing"
    path.write_bytes(b"one\ntw")
    reader = LineReader(path, MAX_LINE_BYTES)
    assert reader.read(10, final=False) == [Line(0, 4, b"one")]
    assert reader.read(10, final=False) == []
    with path.open("ab") as file:
        file.write(b"o\nthree")
    assert reader.read(10, final=False) == [Line(4, 8, b"two")]
    assert not reader.ended
    reader.close()


def test_growing_gzip(tmp_path: Path) -> None:
    """A gzip file that grows by members, or in the middle of one, is followed too."""
    path = tmp_path / "growing.gz"
    first, second = gzip.compress(b"one\n"), gzip.compress(b"two\n")
    path.write_bytes(first + second[:7])
    reader = LineReader(path, MAX_LINE_BYTES)
    assert reader.read(10, final=False) == [Line(0, 4, b"one")]
    path.write_bytes(first + second)
    assert reader.read(10, final=False) == [Line(4, 8, b"two")]
    reader.close()


@given(st.lists(st.binary(max_size=30), max_size=20), st.integers(1, 5))
def test_resuming_at_any_line_gives_the_rest(
    tmp_path_factory: pytest.TempPathFactory, contents: list[bytes], at_once: int
) -> None:
    """From the `next_offset` of any line exactly the lines after it come, plain or
    gzip.
    """
    content = b"".join(content.replace(b"\n", b"") + b"\n" for content in contents)
    assume(b"\xef\xbb\xbf" not in content)  # a byte order mark is not content
    assume(not content.startswith(b"\x1f\x8b") and binary_form(content) is None)
    for path in written(tmp_path_factory.mktemp("lines"), content):
        lines = read_all(path, at_once=at_once)
        assert [line.content for line in lines] == [
            kept for kept in (content.replace(b"\n", b"") for content in contents) if kept.strip()
        ]
        for index, line in enumerate(lines):
            assert read_all(path, start=line.next_offset, at_once=at_once) == lines[index + 1 :]
        assert all(left.next_offset <= right.offset for left, right in pairwise(lines))


def test_skipping_beyond_the_end(tmp_path: Path) -> None:
    """An offset beyond the content is refused, and the reader is back at the start."""
    for path in written(tmp_path, b"one\n"):
        reader = LineReader(path, MAX_LINE_BYTES)
        assert not skipped(reader, 5)
        assert reader.read(10, final=True) == [Line(0, 4, b"one")]
        reader.close()


def test_gzip_cut_short(tmp_path: Path) -> None:
    """Every line that can be unpacked comes before the error that names the file."""
    lines = b"".join(b"%032d\n" % number for number in range(20_000))
    packed = gzip.compress(lines)
    path = tmp_path / "cut.gz"
    path.write_bytes(packed[: len(packed) // 2])
    reader = LineReader(path, MAX_LINE_BYTES)
    found: list[Line] = []

    def read_on() -> None:
        while lines_now := reader.read(1000, final=True):
            found.extend(lines_now)

    with pytest.raises(SourceUnreadable, match="cut short"):
        read_on()
    assert len(found) > 5000
    assert found[4321].content == b"%032d" % 4321
    reader.close()


def test_damaged_gzip(tmp_path: Path) -> None:
    """Bytes changed in the middle are an error that names the file, not a traceback of
    the library.
    """
    packed = bytearray(
        gzip.compress(b"".join(b"%032d\n" % (number * 7919) for number in range(20_000)))
    )
    packed[len(packed) // 2 : len(packed) // 2 + 50] = b"\xff" * 50
    path = tmp_path / "damaged.gz"
    path.write_bytes(packed)
    with pytest.raises(SourceUnreadable, match=r"damaged\.gz is damaged"):
        read_all(path)


def test_zero_padding_after_gzip(tmp_path: Path) -> None:
    """Padding after or between members is skipped, as gzip itself does."""
    path = tmp_path / "padded.gz"
    path.write_bytes(
        gzip.compress(b"one\n") + b"\0" * 200_000 + gzip.compress(b"two\n") + b"\0" * 512
    )
    assert [line.content for line in read_all(path)] == [b"one", b"two"]


def test_garbage_after_gzip(tmp_path: Path) -> None:
    """Anything else after a member is damage."""
    path = tmp_path / "garbage.gz"
    path.write_bytes(gzip.compress(b"one\n") + b"garbage")
    with pytest.raises(SourceUnreadable, match="damaged"):
        read_all(path)


@pytest.mark.parametrize("length", [MAX_LINE_BYTES + 1, 3_000_000])
def test_long_lines_are_cut_but_counted(tmp_path: Path, length: int) -> None:
    """Of a line that is too long only the head is kept.

    The lines after it have their true offsets.
    """
    for path in written(tmp_path, b"one\n" + b"x" * length + b"\ntwo\n"):
        one, cut, two = read_all(path)
        assert one == Line(0, 4, b"one")
        assert (cut.offset, cut.next_offset) == (4, 4 + length + 1)
        assert cut.content == b"x" * (MAX_LINE_BYTES + 1)
        assert two == Line(cut.next_offset, cut.next_offset + 4, b"two")


def test_memory_of_a_line_without_end(tmp_path: Path) -> None:
    """A gzip bomb of one endless line is read with little memory."""
    path = tmp_path / "bomb.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(64):
            file.write(b"x" * 1024 * 1024)
    reader = LineReader(path, MAX_LINE_BYTES)
    (line,) = reader.read(10, final=True)
    assert len(line.content) == MAX_LINE_BYTES + 1
    assert len(reader._rest) <= MAX_LINE_BYTES + 1
    reader.close()


def test_a_line_without_end_holds_nobody_up(tmp_path: Path) -> None:
    """A bounded read returns in the middle of a line, says so, and goes on there."""
    for path in written(tmp_path, b"one\n" + b"x" * 5_000_000 + b"\ntwo\n"):
        reader = LineReader(path, MAX_LINE_BYTES)
        found: list[Line] = []
        num_pauses = 0
        while not reader.ended:
            found += reader.read_columns(10, final=True, max_chunks=1)
            num_pauses += reader.paused
        assert num_pauses > 1
        assert not reader.paused
        assert [line.offset for line in found] == [0, 4, 5_000_005]
        assert found[-1].content == b"two"
        reader.close()


def test_byte_order_marks(tmp_path: Path) -> None:
    """A byte order mark before a line is no part of it, also where files that have one
    were joined; a line of nothing else is blank, and within a line it stays.
    """
    mark = b"\xef\xbb\xbf"
    for path in written(tmp_path, mark + b"one\n" + mark + mark + b"two\n" + mark + b"\nt" + mark):
        assert read_all(path) == [
            Line(0, 7, b"one"),
            Line(7, 17, b"two"),
            Line(21, 21, b"t" + mark),
        ]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_pipe(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    """A FIFO is read as far as its writer got, without waiting; its end is that of the
    writer, not that nobody has opened it yet.
    """
    path = tmp_path / "fifo"
    os.mkfifo(path)
    packed = pack(b"one\ntwo\n" + b"x" * 50)
    reader = LineReader(path, MAX_LINE_BYTES)
    assert reader.is_pipe
    assert reader.read(10, final=True) == []
    assert not reader.ended
    with path.open("wb", buffering=0) as writer:
        writer.write(packed[:20])
        first = reader.read(10, final=True)
        assert reader.read(10, final=True) == []
        assert not reader.ended
        writer.write(packed[20:])
    found = [*first, *reader.read(10, final=True)]
    assert [line.content for line in found] == [b"one", b"two", b"x" * 50]
    assert reader.read(10, final=True) == []
    assert reader.ended
    reader.close()


def test_pipe_whose_writer_is_gone_already(tmp_path: Path) -> None:
    """What is left in an anonymous pipe is read, and then it has ended."""
    reading, writing = os.pipe()
    os.write(writing, b"one\n")
    os.close(writing)
    assert [line.content for line in read_all(Path(f"/dev/fd/{reading}"))] == [b"one"]
    os.close(reading)


def test_socket(tmp_path: Path) -> None:
    """A socket cannot be opened by its name, and the error says what can."""
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        with pytest.raises(SourceUnreadable, match="is a socket; read it through a pipe"):
            LineReader(path, MAX_LINE_BYTES)


def test_fingerprint(tmp_path: Path) -> None:
    """It is the same however much the file grows, and another one for another file or
    another first line.
    """
    path, other = tmp_path / "one", tmp_path / "other"

    def fingerprint(path: Path, *, whole_line: bool = True) -> str | None:
        reader = LineReader(path, MAX_LINE_BYTES)
        found = reader.fingerprint(whole_line=whole_line)
        assert reader._content.num_raw_bytes == 0
        reader.close()
        return found

    path.write_bytes(b"")
    assert fingerprint(path) is None
    path.write_bytes(b"first")
    assert fingerprint(path) is None
    assert fingerprint(path, whole_line=False) is not None
    path.write_bytes(b"first\n")
    found = fingerprint(path)
    assert found is not None
    path.write_bytes(b"first\nsecond\n" * 1000)
    assert fingerprint(path) == found
    other.write_bytes(b"first\nsecond\n" * 1000)
    assert fingerprint(other) not in {None, found}
    path.write_bytes(b"other\n")
    assert fingerprint(path) != found


def test_file_that_was_cut_back_and_grew_again_unseen(tmp_path: Path) -> None:
    """Nothing of the new content passes for a continuation of the old.

    It is another file.
    """
    path = tmp_path / "events"
    path.write_bytes(b"old 1\nold 2\nhalf")
    reader = LineReader(path, 100)
    assert [line.content for line in reader.read(10, final=False)] == [b"old 1", b"old 2"]

    path.write_bytes(b"".join(b"new %d\n" % number for number in range(100)))

    assert reader.read(1000, final=False) == []
    assert reader.was_replaced()
    assert reader.read(1000, final=True) == []
    reader.close()


def test_missing_file(tmp_path: Path) -> None:
    """A file that cannot be opened is an error that says why."""
    with pytest.raises(SourceUnreadable, match=r"gone cannot be opened: No such file"):
        LineReader(tmp_path / "gone", MAX_LINE_BYTES)
    with pytest.raises(SourceUnreadable, match="cannot be read: Is a directory"):
        LineReader(tmp_path, MAX_LINE_BYTES)
