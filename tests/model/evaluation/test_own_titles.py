"""Items that nobody has clicked, asked for by their titles."""

from collections.abc import Callable

import numpy as np

from model.evaluation.own_titles import TITLE_SEGMENTS, TitleQueries, title_queries, title_ranks
from stream.actions import Action
from stream.dtypes import Float32s, Int64s
from stream.events.types import CatalogItem
from stream.graph.arrays import GraphArrays
from testing.small_shop import click

ITEMS = [
    CatalogItem(item_id="clicked", title="Red Mug"),
    CatalogItem(item_id="seen", title="Blue  MUG"),
    CatalogItem(item_id="known", title="Lamp"),
    CatalogItem(item_id="twin", title="blue mug"),
    CatalogItem(item_id="untitled", title=" "),
    CatalogItem(item_id="gone", title="Old Mug", deleted=True),
    CatalogItem(item_id="sold", title="Sold Mug", available=False),
]
EVENTS = [
    click(0, "s", "red", "clicked"),
    click(1, "s", "", "seen", Action.VIEW),
]


def _titles(arrays: GraphArrays, titles: TitleQueries, texts: list[str]) -> list[tuple[str, ...]]:
    return sorted(
        (texts[query], *sorted(arrays.item_ids[item] for item in items.tolist()))
        for query, items in zip(titles.query.tolist(), titles.items, strict=True)
    )


def test_items_without_clicks_are_asked_for_by_their_titles(
    make_arrays: Callable[..., GraphArrays],
) -> None:
    """Those that are shown and have one.

    A title is a query like any other; whoever has it is an answer.
    """
    arrays = make_arrays(EVENTS, ITEMS)
    titles, new = title_queries(arrays, ["red", "lamp"])

    assert new == ["blue mug"]
    assert _titles(arrays, titles, ["red", "lamp", *new]) == [
        ("blue mug", "seen", "twin"),
        ("blue mug", "seen", "twin"),
        ("lamp", "known"),
    ]
    assert {name: int(titles.segments[name].sum()) for name in TITLE_SEGMENTS} == {
        "own_title": 3,
        "own_title_no_session": 2,
    }


def test_the_first_by_their_keys_are_a_sample(make_arrays: Callable[..., GraphArrays]) -> None:
    """Of each segment its own; a wider catalogue changes it no more than it must."""
    items = [CatalogItem(item_id=f"i{number}", title=f"thing {number}") for number in range(40)]
    few, many = (make_arrays(EVENTS, [*ITEMS, *items[:size]]) for size in (20, 40))
    sampled = [
        {text for text, *_ in _titles(arrays, *_sample(arrays, 10))} for arrays in (few, many)
    ]

    assert 10 <= len(_sample(few, 10)[0]) <= 11
    assert [int(each.sum()) for each in _sample(few, 10)[0].segments.values()] == [10, 10]
    assert all(text.startswith("thing") and int(text[6:]) >= 20 for text in sampled[1] - sampled[0])


def _sample(arrays: GraphArrays, most: int) -> tuple[TitleQueries, list[str]]:
    return title_queries(arrays, [], most)


def test_a_rank_is_that_of_the_best_item_with_the_title(
    make_arrays: Callable[..., GraphArrays],
) -> None:
    """Among shown items; those with the title are not in each other's way, equal scores
    share their ranks, and what is not a number ranks last.
    """
    arrays = make_arrays(EVENTS, ITEMS)
    titles, _ = title_queries(arrays, [])
    place = {item_id: number for number, item_id in enumerate(arrays.item_ids)}
    blue = [len(items) == 2 for items in titles.items].index(True)

    def rank(**scores: float) -> float:
        row = np.zeros(arrays.num_items, dtype=np.float32)
        for item_id, score in scores.items():
            row[place[item_id]] = score

        def scores_of(queries: Int64s) -> Float32s:
            return np.tile(row, (len(queries), 1))

        return float(title_ranks(scores_of, titles, arrays)[blue])

    assert rank(seen=1.0) == 1
    assert rank(seen=1.0, twin=1.0) == 1
    assert rank(seen=1.0, clicked=2.0) == 2
    assert rank(seen=1.0, clicked=1.0) == 1.5
    assert rank(seen=1.0, gone=2.0, sold=2.0) == 1
    assert rank(seen=np.nan) > 3


def test_ranking_is_in_blocks(make_arrays: Callable[..., GraphArrays]) -> None:
    """Whatever the catalogue, few scores are held at once."""
    items = [CatalogItem(item_id=f"i{number}", title=f"thing {number}") for number in range(300)]
    arrays = make_arrays(EVENTS, items)
    titles, texts = title_queries(arrays, [])
    wide = np.zeros((1, 1 << 21), dtype=np.float32)
    asked: list[int] = []

    class Wide:
        """An array of so many items that two fill a block."""

        num_items = wide.shape[1]
        item_available = np.ones(wide.shape[1], dtype=np.bool_)
        item_deleted = np.zeros(wide.shape[1], dtype=np.bool_)

    def scores_of(queries: Int64s) -> Float32s:
        asked.append(len(queries))
        return np.zeros((len(queries), wide.shape[1]), dtype=np.float32)

    some = TitleQueries(query=titles.query[:5], items=titles.items[:5], segments={})
    title_ranks(scores_of, some, Wide())  # type: ignore[arg-type]  # what it reads of arrays

    assert asked == [2, 2, 1]
    assert len(texts) == 300
