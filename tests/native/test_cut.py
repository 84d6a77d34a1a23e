"""Bytes cut into pieces."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.events import native


@given(st.lists(st.binary(max_size=40), max_size=30), st.binary(max_size=3))
def test_pieces_are_what_was_joined(pieces: list[bytes], unused: bytes) -> None:
    """Empty ones, too; what is before the first place is left out."""
    starts = len(unused) + np.cumsum([0, *map(len, pieces)], dtype=np.int64)[:-1]

    assert native.cut(unused + b"".join(pieces), starts) == pieces


@pytest.mark.parametrize("starts", [[-1], [4], [2, 1], [0, 5]])
def test_places_must_be_in_the_bytes(starts: list[int]) -> None:
    """Nothing is read beside them."""
    with pytest.raises(ValueError, match="places in the bytes"):
        native.cut(b"abc", np.array(starts, dtype=np.int64))
