"""Answers that a generation must give: written down when it is made, from what was
trained, and asked of its files by whoever reads them.

They go the whole way, from a text by its key and its vector to an item's id and title,
so that files which fit each other and are wrong together (two arrays shuffled alike,
ids shifted by one) are told.
"""

from collections.abc import Callable, Sequence

import numpy as np

from model.artifact.encoder import TextEncoder
from model.artifact.generation import Generation
from model.errors import GenerationCorrupt
from protos import manifest_v1_pb2 as manifest_pb
from stream.dtypes import Float32s, Int64s

# Of known and of encoded queries. Some 10 kB of a manifest, a product with all vectors
# when it is made, microseconds when it is read. Twice as many: twice that, and half the
# chance that an error in single rows is between them.
_NUM_KNOWN, _NUM_ENCODED = 64, 16
# Largest error of a cosine: a hundred times what float32 rounds off. Twice as much
# would still find a vector of something else.
_COSINE_TOLERANCE = 1e-3
# Items of a block of the scan: 17 MB at 64 dimensions. Twice as many: twice the memory.
_SCAN_ROWS = 1 << 16


def make_canaries(
    query_texts: Sequence[str],
    query_vectors: Float32s,
    encode: Callable[[str], Float32s],
    item_vectors: Float32s,
    item_of: Callable[[int], tuple[str, str]],
) -> list[manifest_pb.Canary]:
    """Return the canaries of what was trained.

    Args:
        query_texts: normalised, by row of `query_vectors`.
        query_vectors: ``float32 [num_queries, dim]``.
        encode: the text encoder.
        item_vectors: ``float32 [num_indexed, dim]``, of what may be shown.
        item_of: from a row of `item_vectors` to the item's id and title.
    """
    if not len(item_vectors) or not len(query_texts):
        return []
    known, encoded = (_spread(len(query_texts), count) for count in (_NUM_KNOWN, _NUM_ENCODED))
    texts = [query_texts[row] for row in (*known, *encoded)]
    vectors = np.stack(
        [*(query_vectors[row] for row in known), *(encode(query_texts[row]) for row in encoded)]
    ).astype(np.float32)
    rows, cosines = _nearest(vectors, item_vectors)
    canaries = []
    for place, text in enumerate(texts):
        item_id, title = item_of(int(rows[place]))
        canaries.append(
            manifest_pb.Canary(
                query=text,
                is_encoded=place >= len(known),
                item_id=item_id,
                title=title,
                cosine=float(cosines[place]),
            )
        )
    return canaries


def ask_canaries(generation: Generation, encoder: TextEncoder) -> None:
    """Check that a generation answers its canaries.

    Raises:
        GenerationCorrupt: it does not; the message has the query.
    """
    for canary in generation.manifest.canaries:
        fault = _fault(generation, encoder, canary)
        if fault:
            raise GenerationCorrupt(
                f"{generation.path} answers its canary {canary.query!r} wrongly: {fault}; "
                "roll back or train again"
            )


def _fault(generation: Generation, encoder: TextEncoder, canary: manifest_pb.Canary) -> str:
    if canary.is_encoded:
        vector = encoder.encode(canary.query)
    else:
        query = generation.find_query(canary.query)
        if query is None:
            return "the query is not known"
        vector = generation.query_vectors[query]
    item = generation.find_item(canary.item_id)
    if item is None:
        return f"the item {canary.item_id!r} is not there"
    if generation.item_titles[item] != canary.title:
        return f"the title of {canary.item_id!r} is another"
    place = int(np.searchsorted(generation.index_items, item))
    if place >= len(generation.index_items) or generation.index_items[place] != item:
        return f"the item {canary.item_id!r} is not in the index"
    cosine = float(np.dot(generation.item_vectors[item], vector))
    # Written so that NaN fails, too.
    if not abs(cosine - canary.cosine) <= _COSINE_TOLERANCE:
        return f"{canary.item_id!r} has a cosine of {cosine:.3f}, not {canary.cosine:.3f}"
    return ""


def _nearest(vectors: Float32s, items: Float32s) -> tuple[Int64s, Float32s]:
    """Return row ``int64 [n]`` and cosine ``float32 [n]`` of the item nearest to each
    vector.
    """
    rows = np.zeros(len(vectors), dtype=np.int64)
    best = np.full(len(vectors), -np.inf, dtype=np.float32)
    for start in range(0, len(items), _SCAN_ROWS):
        cosines = vectors @ np.asarray(items[start : start + _SCAN_ROWS]).T
        found = cosines.argmax(axis=1)
        top = cosines[np.arange(len(vectors)), found]
        is_better = top > best
        rows[is_better], best[is_better] = start + found[is_better], top[is_better]
    return rows, best


def _spread(length: int, count: int) -> list[int]:
    taken = min(length, count)
    return [position * length // taken for position in range(taken)]
