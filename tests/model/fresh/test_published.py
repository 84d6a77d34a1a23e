"""What is published of the vectors that the fresh lane computes."""

from collections.abc import Sequence

import numpy as np
import pytest

from model.fresh import published
from stream.dtypes import Float32s


class Reader:
    """Directions of texts, and which texts were read."""

    def __init__(self) -> None:
        self.read: list[list[str]] = []

    def __call__(self, texts: Sequence[str]) -> Float32s:
        """Return the length of each text, and one."""
        self.read.append(list(texts))
        return np.array([[len(text), 1.0] for text in texts], dtype=np.float32).reshape(-1, 2)


def test_a_text_is_read_once_as_long_as_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """And gives the same each time, in the order that is asked for."""
    monkeypatch.setattr(published, "_MOST_TEXTS", 3)
    reader = Reader()
    known = published._Read(reader)

    asked = [["a", "bb", "a"], ["bb", "ccc"], [], ["dddd", "a"], list("efghi"), ["dddd"]]
    found = [known.of(texts)[:, 0].tolist() for texts in asked]

    assert found == [[len(text) for text in texts] for texts in asked]
    assert reader.read == [["a", "bb"], ["ccc"], [], ["dddd", "a"], list("efghi")]
