"""The vectors that a live view has: of queries by their text, of items by their id."""

import numpy as np

from protos.text import text_key
from server.overlay.view import LiveView
from stream.dtypes import Float32s


def fresh_vector(view: LiveView, query: str) -> Float32s | None:
    """Return the overlay's vector ``float32 [dim]`` of a normalised query, or None
    where it has none.
    """
    return view.overlay.queries.vector(query)


def known_vector(view: LiveView, query: str) -> Float32s | None:
    """Return the generation's vector ``float32 [dim]`` of a normalised query, or None
    where it is not in the graph, or was erased since.
    """
    generation, gone = view.live.generation, view.overlay.gone_queries
    row = generation.find_query(query)
    if row is None or (gone and text_key(query) in gone):
        return None
    return np.asarray(generation.query_vectors[row])


def item_vector(view: LiveView, item_id: str) -> Float32s | None:
    """Return the vector ``float32 [dim]`` of an item: the overlay's, else the
    generation's; None where both lack it, or it is gone.
    """
    overlay, generation = view.overlay, view.live.generation
    if item_id in overlay.gone_ids:
        return None
    row = overlay.items.get(item_id)
    if row is not None:
        fresh: Float32s = overlay.rows.item_vectors[row]
        return fresh
    item = generation.find_item(item_id)
    return None if item is None else np.asarray(generation.item_vectors[item])
