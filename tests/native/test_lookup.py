"""Texts among those of a table, as Python finds them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import freshet_native
from model.artifact.arrays import strings
from model.artifact.arrays.strings import StringTable, string_table
from protos.text import text_key
from stream.events.columns import Keys

# Long ones among them: a key is a hash of blocks of 128 bytes.
TEXTS = st.text(max_size=20) | st.sampled_from(["a" * size for size in range(120, 270, 7)])


def keys_of(texts: list[str]) -> Keys:
    """Return the keys of texts."""
    return np.array([text_key(text) for text in texts], dtype=np.uint64)


@given(stored=st.lists(TEXTS, unique=True, max_size=60), other=TEXTS, is_native=st.booleans())
def test_a_text_is_found_where_python_finds_it(
    stored: list[str], other: str, *, is_native: bool
) -> None:
    """Each of the table, and none that is not in it."""
    texts = sorted(stored, key=text_key)
    table, keys = string_table(texts), keys_of(texts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strings, "IS_NATIVE", is_native)

        assert [table.find(text, keys) for text in texts] == list(range(len(texts)))
        assert table.find(other, keys) == (texts.index(other) if other in texts else None)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=80), st.lists(TEXTS, min_size=1, max_size=8))
def test_keys_lie_wherever_they_like(others: list[int], stored: list[str]) -> None:
    """Hashes lie evenly, so that most are about where they are looked for first: the
    rest is found, too, below it and above.
    """
    found = dict.fromkeys(sorted(others), "another")
    found.update({text_key(text): text for text in stored})
    keys = np.array(sorted(found), dtype=np.uint64)
    table = string_table([found[int(key)] for key in keys])

    for text in stored:
        row = freshet_native.row_of(keys, table.offsets, table.data, text)
        assert found[int(keys[row])] == text


@pytest.mark.parametrize("is_native", [True, False])
def test_a_key_alone_proves_nothing(monkeypatch: pytest.MonkeyPatch, *, is_native: bool) -> None:
    """Of two texts that share one, one is there; what is no UTF-8 is in no table."""
    monkeypatch.setattr(strings, "IS_NATIVE", is_native)
    table = string_table(["another"])

    assert table.find("lamp", keys_of(["lamp"])) is None
    assert table.find("\ud800", keys_of(["\ud800"])) is None


@given(
    st.lists(st.integers(0, 2**64 - 1), max_size=6),
    st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 9), max_size=8),
    st.binary(max_size=8),
)
def test_damaged_tables_are_not_read_beyond(
    keys: list[int], bounds: list[int], data: bytes
) -> None:
    """Keys in any order, bounds that are none: a text is found in its own bytes, or
    nowhere.
    """
    place, text = np.array([text_key("lamp"), *keys], dtype=np.uint64), "lamp"
    table = StringTable(np.array(bounds, dtype=np.int64), np.frombuffer(data, dtype=np.uint8))

    row = freshet_native.row_of(place, table.offsets, table.data, text)

    assert row == -1 or data[bounds[row] : bounds[row + 1]] == text.encode()


def test_columns_must_be_of_whole_words() -> None:
    """What is no array of keys is refused."""
    table = string_table(["lamp"])
    with pytest.raises(ValueError, match="whole words"):
        freshet_native.row_of(b"1234567", table.offsets, table.data, "lamp")
    with pytest.raises(ValueError, match="whole words"):
        freshet_native.row_of(keys_of(["lamp"]), b"123", table.data, "lamp")
    with pytest.raises(TypeError):
        freshet_native.row_of(keys_of(["lamp"]), table.offsets, table.data, b"lamp")  # type: ignore[arg-type]  # no text
