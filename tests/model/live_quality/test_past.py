"""The file with what earlier generations answered."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.live_quality.newest_clicks import Evaluation, Figure, Sample, Segment
from model.live_quality.past import NAME, read_past, with_newest, write_past


def evaluation(name: str, value: float = 0.5) -> Evaluation:
    """Return an evaluation of one query."""
    samples = {
        (segment, figure): Sample.of(np.array([value])) for segment in Segment for figure in Figure
    }
    return Evaluation(generation_id=name, at_ms=7, num_pairs=1, samples=samples)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """All of it, in order."""
    written = [evaluation("a", 0.25), evaluation("b", 1.0)]

    write_past(tmp_path, written)

    assert read_past(tmp_path) == written


def test_a_folder_without_the_file_has_no_past(tmp_path: Path) -> None:
    """As before the first evaluation."""
    assert read_past(tmp_path) == []


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b"\xff\xfe", b'{"version": 2, "evaluations": []}'),
        *(b'{"version": 1, "evaluations": [{}]}', b'{"version": 1, "evaluations": [3]}'),
    ],
)
def test_a_file_that_says_nothing_is_told_of_and_left(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """The past begins anew, and the log names the file."""
    (tmp_path / NAME).write_bytes(content)

    assert read_past(tmp_path) == []
    assert str(tmp_path / NAME) in caplog.text


def test_a_later_look_at_a_generation_replaces_the_earlier() -> None:
    """A generation that stays live is asked again, of newer clicks too."""
    past = [evaluation("a"), evaluation("b", 0.1)]
    later = replace(evaluation("b", 0.9), at_ms=8)

    assert with_newest(past, later) == [past[0], later]


def test_the_oldest_go() -> None:
    """The file does not grow without end."""
    past: list[Evaluation] = []
    for number in range(205):
        past = with_newest(past, evaluation(f"g{number}"))

    assert [past[0].generation_id, past[-1].generation_id] == ["g5", "g204"]
