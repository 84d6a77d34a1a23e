"""Tests that nothing is learnt from what probes wrote."""

from itertools import islice

import numpy as np

from model.data.marked import without_marked
from protos.marks import PROBE_MARK
from stream.events.types import CatalogItem, Interaction
from stream.graph.arrays import GraphArrays
from testing.small_shop import MakeArrays, click, shop_events, shop_items

ITEM = f"{PROBE_MARK}here"


def edges_of(arrays: GraphArrays) -> list[tuple[str, str, int]]:
    """Return edges by names, with their sessions."""
    rows = zip(arrays.edge_query, arrays.edge_item, arrays.edge_sessions, strict=True)
    return [
        (arrays.query_texts[query], arrays.item_ids[item], int(sessions))
        for query, item, sessions in rows
    ]


def facts_of(arrays: GraphArrays) -> list[tuple[str, str]]:
    """Return facts by names."""
    return sorted(
        (arrays.query_texts[query], arrays.item_ids[item])
        for query, item in zip(arrays.fact_query, arrays.fact_item, strict=True)
    )


def test_what_is_learnt_from_is_as_without_a_probe(make_arrays: MakeArrays) -> None:
    """Queries of a probe alone go with its item; one that shoppers ask, too, stays."""
    shop, items = shop_events(50), shop_items()
    probed: list[Interaction] = [
        click(10**8, f"{PROBE_MARK}here:1", "freshet probe here 1", ITEM),
        click(10**8, f"{PROBE_MARK}here:1", shop[0].query, ITEM),
    ]
    plain = make_arrays(shop, items)
    marked = make_arrays([*shop, *probed], [*items, CatalogItem(item_id=ITEM, title="A walk")])

    kept = without_marked(marked)

    assert kept.query_texts == plain.query_texts
    assert kept.query_keys.tolist() == plain.query_keys.tolist()
    assert edges_of(kept) == edges_of(plain)
    assert facts_of(kept) == facts_of(plain)
    gone = [id_ for id_, is_gone in zip(kept.item_ids, kept.item_deleted, strict=True) if is_gone]
    assert gone == [ITEM]
    assert len(kept.incidence_item) == len(plain.incidence_item)


def test_a_graph_without_a_probe_is_not_copied(make_arrays: MakeArrays) -> None:
    """It costs a look at the ids."""
    arrays = make_arrays(list(islice(shop_events(5), 5)), shop_items())

    assert without_marked(arrays) is arrays
    assert not np.any(arrays.item_deleted)
