"""The titles of items as texts that may be asked for."""

from dataclasses import replace

import numpy as np

from model.data.training_set import build_training_set
from model.settings import ModelSettings
from protos.text import text_features
from stream.graph.arrays import GraphArrays


def test_titles_are_the_features_of_the_title_alone(
    arrays: GraphArrays, settings: ModelSettings
) -> None:
    """Whatever else the item's text says; of items without a title and of deleted ones
    there are none.
    """
    titles = ["", "Red &amp; Mug", "red & mug", "--", *arrays.item_titles[4:]]
    deleted = np.zeros(arrays.num_items, dtype=np.bool_)
    deleted[5] = True
    more = ["said", "said", "", *arrays.item_texts[3:]]
    data = build_training_set(
        replace(arrays, item_titles=titles, item_texts=more, item_deleted=deleted), settings
    )

    found = data.titles
    assert found.item.tolist() == [1, 2, 4, *range(6, arrays.num_items)]
    assert found.name[1] == found.name[2]
    assert found.name[[0, 3, 5]].tolist() == [-1, -1, -1]
    texts = data.texts
    for place, item in enumerate(found.item.tolist()):
        terms = found.term[found.starts[place] : found.starts[place + 1]]
        buckets = [texts.buckets[texts.feature[texts.owner == term]] for term in terms]
        wanted = text_features("red & mug" if item == 1 else titles[item], settings.num_buckets)
        assert sorted(np.concatenate(buckets).tolist()) == sorted(wanted)
    assert texts.lengths(data.whole.num_nodes).sum() == len(texts.flat()[0])
    assert texts.node.max() < data.whole.num_nodes
