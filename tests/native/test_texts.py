"""Texts to keys: as in Python, or left to it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freshet_native import TextTable
from protos.text import PLAIN_ASCII, normalize_query, text_key
from stream.events import native
from stream.events.columns import Keys, texts_of
from stream.events.interner import UNUSABLE
from stream.events.native import LearntTexts, Plain
from stream.shard.names import hashes_of, text_hashes

IDS = Plain(200, reserved_prefix="cut:")
QUERIES = Plain(200, forms=PLAIN_ASCII)


def _learnt(plain: Plain, *, takes_empty: bool = False) -> LearntTexts:
    return LearntTexts(plain, takes_empty=takes_empty)


def _found(table: TextTable, texts: list[str]) -> tuple[list[int], list[int]]:
    """Return the keys of texts, and the rows of those that are left."""
    keys: Keys = np.zeros(len(texts), dtype=np.uint64)
    left = table.find(texts, keys)
    return keys.tolist(), left


@given(st.lists(st.text(max_size=150), max_size=20))
def test_ids_have_the_keys_that_python_gives_them(ids: list[str]) -> None:
    """Those that are not left have the key of the text, which is remembered; asked
    again, they are known.
    """
    texts = _learnt(IDS)
    table = texts.table
    for _ in range(2):
        keys, left = _found(table, ids)
        for row, (key, text) in enumerate(zip(keys, ids, strict=True)):
            if row in left:
                assert key == UNUSABLE
            else:
                assert (key, texts[key]) == (text_key(text), text)
        assert not any(ids[row].isascii() and ids[row].isalnum() for row in left)


@given(st.text(st.characters(max_codepoint=127), max_size=150))
def test_queries_of_ascii_are_normalised_as_in_python(query: str) -> None:
    """Their key is that of the normal form, which is remembered."""
    texts = _learnt(QUERIES, takes_empty=True)
    (key,), left = _found(texts.table, [query])
    normal = normalize_query(query)

    if left:
        assert "&" in query or (query and not normal)
    else:
        assert (key, list(texts.values())) == ((text_key(normal), [normal]) if query else (0, []))


@pytest.mark.parametrize("size", [1, 127, 128, 129, 200])
def test_texts_of_more_than_a_block_are_hashed_whole(size: int) -> None:
    """BLAKE2b's blocks have 128 bytes."""
    assert _found(_learnt(IDS).table, ["x" * size]) == ([text_key("x" * size)], [])


@pytest.mark.parametrize(
    ("plain", "text"),
    [
        (IDS, ""),
        (IDS, " \t"),
        (IDS, "\u00a0"),
        (IDS, "cut:u-1@5"),
        (IDS, "x" * 201),
        (IDS, "a\ud83d"),
        (QUERIES, "?!"),
        (QUERIES, "a &amp; b"),
        (QUERIES, "caf\u00e9"),
        (QUERIES, "x" * 201),
    ],
)
def test_what_needs_a_closer_look_is_left(plain: Plain, text: str) -> None:
    """It is left each time, and nothing is remembered of it."""
    texts = _learnt(plain)
    table = texts.table
    for _ in range(2):
        assert _found(table, ["a", text]) == ([text_key("a"), UNUSABLE], [1])
    assert (dict(texts), len(table)) == ({text_key("a"): "a"}, 1)


def test_a_text_with_the_key_of_another_is_left() -> None:
    """What is behind a key is never replaced."""
    texts = _learnt(IDS)
    texts[text_key("two")] = "one"
    assert _found(texts.table, ["two"]) == ([UNUSABLE], [0])
    assert dict(texts) == {text_key("two"): "one"}


def test_what_was_added_is_known_until_the_table_is_cleared() -> None:
    """Also texts that it would have left; one that UTF-8 cannot say is left still."""
    table = _learnt(IDS).table
    table.add({"caf\u00e9": 7, " ": 8, "\ud83d": 9})
    assert _found(table, ["caf\u00e9", " ", "\ud83d"]) == ([7, 8, UNUSABLE], [2])
    assert len(table) == 2
    table.clear()
    assert _found(table, [" "]) == ([UNUSABLE], [0])
    assert len(table) == 0


def test_many_texts_are_told_apart() -> None:
    """The table grows, and a column of texts is looked up as a list of them is."""
    names = [f"item-{number}" for number in range(20_000)]
    texts = _learnt(IDS)
    table = texts.table
    keys, left = _found(table, names)
    lines = [b'{"ts_ms": 1, "type": "view", "item_id": "%s"}' % name.encode() for name in names]
    *_, items, unread = native.read_neutral(lines, list(range(len(lines))), (("view", 1, False),))
    again: Keys = np.zeros(len(names), dtype=np.uint64)

    assert (left, unread, len(table), len(texts)) == ([], [], 20_000, 20_000)
    assert keys == [text_key(name) for name in names]
    assert list(items) == names
    assert table.find(items, again) == []
    assert again.tolist() == keys


@given(st.lists(st.text(max_size=20), max_size=200), st.dictionaries(st.integers(1, 9), st.text()))
def test_texts_come_back_by_their_keys(learnt: list[str], others: dict[int, str]) -> None:
    """One by one and many at once, with those that were put beside them; their checks
    are those of the texts.
    """
    texts = _learnt(IDS)
    keys, _ = _found(texts.table, learnt)
    texts.update(others)
    known = {key: text for key, text in zip(keys, learnt, strict=True) if key != UNUSABLE} | others
    asked: Keys = np.array(list(known), dtype=np.uint64)

    assert len(texts) == len(known)
    assert dict(texts) == known
    assert texts_of(texts, asked) == texts_of(known, asked) == list(known.values())
    assert hashes_of(texts, asked).tolist() == text_hashes(list(known.values())).tolist()
    assert texts.setdefault(next(iter(known), 5), "another") == next(
        iter(known.values()), "another"
    )
    texts.clear()
    assert (len(texts), len(texts.table), 7 in texts) == (0, 0, False)


def test_a_key_without_a_text_is_an_error() -> None:
    """As it is in a dictionary."""
    texts = _learnt(IDS)
    for look_up in (texts.of, texts.checks_of):
        with pytest.raises(KeyError):
            look_up(np.array([7], dtype=np.uint64))
    with pytest.raises(KeyError):
        texts[7]
    texts[7] = "seven"
    del texts[7]
    assert 7 not in texts


def test_keys_must_have_room() -> None:
    """A column of another length is refused, not written beyond."""
    with pytest.raises(ValueError, match="eight bytes a text"):
        _learnt(IDS).table.find(["a", "b"], np.zeros(1, dtype=np.uint64))
