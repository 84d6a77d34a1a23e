"""Reads the vectors of the current generation, and answers a query with numpy alone.

After `examples/publish_to_file.py`::

    python examples/read_generation.py shop/artifacts "red mug"

The files themselves are specified in docs/formats-artifacts.md, for other languages.
"""

import sys
from pathlib import Path

import numpy as np

from model.artifact.encoder import TextEncoder
from model.artifact.generation import open_generation
from model.artifact.store import ArtifactStore
from protos.text import normalize_query


def main(artifacts: str, text: str) -> None:
    """Print what the generation holds, and the items nearest to a query."""
    store = ArtifactStore(Path(artifacts))
    current = store.current_id()  # what the file CURRENT names
    if current is None:
        sys.exit(f"{artifacts} has no generation yet; train one with `freshet train`")
    # Verified against its manifest, then mapped into memory: nothing is copied.
    generation = open_generation(store.generation_path(current), verify=True)
    manifest = generation.manifest
    print(f"{generation.id}: {manifest.num_items} items, {manifest.num_queries} queries")

    # A query of the graph has a vector of its own; the encoder makes one for any other.
    query = normalize_query(text)
    row = generation.find_query(query)
    if row is None:
        vector = TextEncoder(generation.encoder).encode(query)
    else:
        vector = generation.query_vectors[row]

    # Vectors have length 1, so the inner product is the cosine: exact, where the
    # server's index is approximate. `item_shown` leaves out what must not be shown.
    scores = np.where(generation.item_shown, generation.item_vectors @ vector, -np.inf)
    for item in np.argsort(-scores)[:5]:
        print(f"{scores[item]:6.3f}  {generation.item_ids[item]:<16}{generation.item_titles[item]}")


if __name__ == "__main__":
    main(*sys.argv[1:])
