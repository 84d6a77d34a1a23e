"""What cannot be learned from, and what stands in for it."""

import pytest

from model.data.trainable import select_trainable
from model.errors import TrainingRefused
from stream.actions import Action
from stream.events.types import CatalogItem
from testing.small_shop import MakeArrays, click


def test_deleted_items_take_no_part(make_arrays: MakeArrays) -> None:
    """Their edges, facts and incidences go; the item keeps its number."""
    arrays = make_arrays(
        [click(0, "s", "mug", "a"), click(1, "s", "mug", "b")],
        [CatalogItem(item_id="a", deleted=True)],
    )

    kept = select_trainable(arrays).arrays

    assert [arrays.item_ids[item] for item in kept.edge_item] == ["b"]
    assert [arrays.item_ids[item] for item in kept.fact_item] == ["b"]
    assert [arrays.item_ids[item] for item in kept.incidence_item] == ["b"]
    assert kept.item_ids == arrays.item_ids


def test_without_queries_titles_stand_in(make_arrays: MakeArrays) -> None:
    """A title leads to its item and to the items next to it in a session."""
    arrays = make_arrays(
        [click(n, "s", "", item, Action.VIEW) for n, item in enumerate("abc")],
        [CatalogItem(item_id=item, title=f"Title {item}!") for item in "abc"],
    )

    source = select_trainable(arrays)

    assert source.titles_as_queries
    found = {
        (source.arrays.query_texts[query], source.arrays.item_ids[item])
        for query, item in zip(source.arrays.edge_query, source.arrays.edge_item, strict=True)
    }
    expected = {("a", "a"), ("a", "b"), ("b", "a"), ("b", "b"), ("b", "c"), ("c", "b"), ("c", "c")}
    assert found == {(f"title {title}", item) for title, item in expected}


@pytest.mark.parametrize(
    ("titles", "num_views"), [({}, 0), ({"a": "Mug", "b": "Lamp"}, 1), ({"a": "", "b": "?!"}, 2)]
)
def test_nothing_to_learn_from_is_refused(
    make_arrays: MakeArrays, titles: dict[str, str], num_views: int
) -> None:
    """An empty graph, a catalogue without sessions, sessions without words."""
    arrays = make_arrays(
        [click(n, "s", "", item, Action.VIEW) for n, item in enumerate("ab"[:num_views])],
        [CatalogItem(item_id=item, title=title) for item, title in titles.items()],
    )

    with pytest.raises(TrainingRefused, match="nothing to learn from"):
        select_trainable(arrays)
