"""What one round of the fresh lane recomputed, as plain columns."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.dtypes import Bools, Float32s, Int64s


@dataclass(frozen=True, kw_only=True)
class RoundResult:
    """The rows of one round, to be published as an overlay segment.

    No item is named twice, nor a query; none that has a vector is gone.

    Attributes:
        item_ids: external ids.
        item_titles: titles; empty where the catalogue has none.
        item_attributes: JSON objects of strings; empty where there are none, or the
            catalogue has not named the item since the generation.
        item_texts: what else the catalogue says; as the attributes.
        item_shown: ``bool [num_items]``; False: not in answers.
        item_catalog_ms: ``int64 [num_items]``, time of the catalogue state; 0: none.
        item_vectors: ``float32 [num_items, dim]`` unit vectors.
        query_texts: normalised texts.
        query_vectors: ``float32 [num_queries, dim]`` unit vectors.
        gone_items: ids of items that are in no answer any more: deleted, unavailable or
            erased.
        gone_item_ms: ``int64 [len(gone_items)]``, time of the catalogue state; 0: none.
        gone_queries: ``uint64 [n]`` `protos.text.text_key` of queries that are erased.
        recomputed: nodes whose vector was computed, moved or not.
        carried: nodes that wait for a later round because this one was full.
        withheld: the largest movement that a node waits with or that is not followed,
            in radians, estimated.
        poisoned: nodes that were left out because their vector is not finite.
    """

    item_ids: tuple[str, ...]
    item_titles: tuple[str, ...]
    item_attributes: tuple[str, ...]
    item_texts: tuple[str, ...]
    item_shown: Bools
    item_catalog_ms: Int64s
    item_vectors: Float32s
    query_texts: tuple[str, ...]
    query_vectors: Float32s
    gone_items: tuple[str, ...]
    gone_item_ms: Int64s
    gone_queries: NDArray[np.uint64]
    recomputed: int
    carried: int
    withheld: float
    poisoned: int
