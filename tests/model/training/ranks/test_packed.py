"""A graph that is sent to other ranks arrives as it was."""

from dataclasses import fields, replace

import numpy as np

from model.training.ranks.packed import packed, unpacked
from stream.graph.attributes import attribute_columns
from testing.small_shop import MakeArrays, shop_events, shop_items


def test_a_graph_arrives_as_it_was(make_arrays: MakeArrays) -> None:
    """Every field of it, with its type: texts, attributes and times too."""
    arrays = make_arrays(shop_events(20), shop_items())
    attributes = attribute_columns([{"brand": "Äcme"}, {}, {"brand": "x", "size": "3"}])
    sent = replace(arrays, item_attributes=attributes)

    arrived = unpacked({name: array.copy() for name, array in packed(sent).items()})

    assert arrived.item_titles
    assert vars(arrived.item_attributes).keys() == vars(attributes).keys()
    for one, other in ((arrived, sent), (arrived.item_attributes, attributes)):
        for field in fields(one):
            found, wanted = getattr(one, field.name), getattr(other, field.name)
            if isinstance(wanted, np.ndarray):
                assert found.dtype == wanted.dtype, field.name
                assert np.array_equal(found, wanted), field.name
            elif field.name != "item_attributes":
                assert found == wanted, field.name
                assert type(found) is type(wanted), field.name
