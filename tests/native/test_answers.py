"""Hits in C, as Python writes them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import freshet_native
from model.artifact.arrays.strings import string_table
from protos import retrieval_v1_pb2 as retrieval_pb
from server.answers.hits import hit_without_score, native_hits, with_scores

TEXTS = st.text(max_size=300)
ITEMS = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=8)


def columns(items: list[tuple[str, str]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return ids and titles, each by themselves."""
    return tuple(id_ for id_, _ in items), tuple(title for _, title in items)


@given(stored=ITEMS, fresh=ITEMS, data=st.data())
def test_hits_are_the_bytes_that_python_writes(
    stored: list[tuple[str, str]], fresh: list[tuple[str, str]], data: st.DataObject
) -> None:
    """Of any rows of both, in any order, as often as they come, more than a hundred,
    too.
    """
    rows = st.one_of(
        st.tuples(st.just(value=False), st.integers(0, len(stored) - 1)),
        st.tuples(st.just(value=True), st.integers(0, len(fresh) - 1)),
    )
    asked = data.draw(st.lists(rows, max_size=40)) * data.draw(st.sampled_from([1, 5]))
    scores = np.linspace(1.5, -1.5, len(asked), dtype=np.float32)
    ids, titles = columns(stored)

    written = native_hits(
        np.array([row for _, row in asked], dtype=np.int64),
        np.array([is_fresh for is_fresh, _ in asked], dtype=np.bool_),
        scores,
        string_table(ids),
        string_table(titles),
        *columns(fresh),
    )

    items = [(fresh if is_fresh else stored)[row] for is_fresh, row in asked]
    hits = [hit_without_score(id_.encode(), title.encode()) for id_, title in items]
    assert written == with_scores(hits, np.clip(scores, -1, 1))
    read = retrieval_pb.RetrieveResponse.FromString(written).hits
    assert [(hit.item_id, hit.title) for hit in read] == items


def test_long_texts_have_longer_lengths() -> None:
    """Of two bytes, and of three."""
    texts = ["x" * size for size in (0, 1, 127, 128, 16_383, 16_384, 70_000)]
    rows = np.arange(len(texts))
    table = string_table(texts)

    flags, scores = np.zeros(len(rows), dtype=np.bool_), np.zeros(len(rows), dtype=np.float32)
    written = native_hits(rows, flags, scores, table, table, (), ())

    read = retrieval_pb.RetrieveResponse.FromString(written).hits
    assert [(hit.item_id, hit.title) for hit in read] == list(zip(texts, texts, strict=True))


def given_to_it(**changed: Any) -> list[Any]:
    """Return what is given for two hits, one of them fresh, but for what is changed."""
    table = string_table(["a", "bc"])
    arguments = {
        "rows": np.array([1, 0]),
        "is_fresh": np.array([False, True]),
        "scores": np.array([0.5, 0.25], dtype=np.float32),
        "id_bounds": table.offsets,
        "ids": table.data,
        "title_bounds": table.offsets,
        "titles": table.data,
        "fresh_ids": ("d",),
        "fresh_titles": ("e",),
        "tags": b"\x0a\x0a\x1a\x15",
    }
    return list({**arguments, **changed}.values())


@pytest.mark.parametrize(
    "changed",
    [
        {"rows": np.array([2, 0])},
        {"rows": np.array([-1, 0])},
        {"rows": np.array([2**62, 0])},
        {"rows": np.array([1, 1])},
        {"rows": np.array([1, -1])},
        {"fresh_titles": ()},
        {"id_bounds": np.array([0, 2, 1])},
        {"id_bounds": np.array([0, -1, 3])},
        {"title_bounds": np.array([0, 1, 4])},
        {"title_bounds": np.array([], dtype=np.int64)},
    ],
)
def test_what_is_not_there_is_refused(changed: dict[str, Any]) -> None:
    """Nothing is read beyond the tables, whatever their bounds say."""
    assert freshet_native.hits_of(*given_to_it())
    with pytest.raises(IndexError):
        freshet_native.hits_of(*given_to_it(**changed))


@pytest.mark.parametrize(
    "changed",
    [
        {"rows": np.array([1])},
        {"rows": np.array([1, 0], dtype=np.int32)},
        {"scores": np.array([0.5, 0.25])},
        {"is_fresh": np.array([False])},
        {"id_bounds": np.array([0, 1, 3], dtype=np.int32)},
        {"tags": b"\x0a"},
    ],
)
def test_arrays_must_fit_together(changed: dict[str, Any]) -> None:
    """Of other lengths or types they are no hits."""
    with pytest.raises(ValueError, match="belong to each hit"):
        freshet_native.hits_of(*given_to_it(**changed))


def test_a_text_that_is_none_is_refused() -> None:
    """Half a surrogate has no bytes, and a number is no text."""
    with pytest.raises(UnicodeEncodeError):
        freshet_native.hits_of(*given_to_it(fresh_titles=("\ud800",)))
    with pytest.raises(TypeError):
        freshet_native.hits_of(*given_to_it(fresh_titles=(7,)))
