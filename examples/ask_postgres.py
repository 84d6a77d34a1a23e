"""Ask PostgreSQL for the products of a query.

Beside `freshet sink --artifacts shop/artifacts --database 'host=db dbname=shop'`::

    python examples/ask_postgres.py shop/artifacts 'host=db dbname=shop' 'red mug'

It needs `freshet[pgvector]`; docs/ask-from-your-service.md has the SQL with a filter.
"""

import sys
from pathlib import Path

import numpy as np
import psycopg
from numpy.typing import NDArray

from model.artifact.generation import Generation, open_generation
from model.artifact.store import ArtifactStore
from protos.text import normalize_query

NEAREST = """
    SELECT item_id, title, -(vector <#> %(vector)s::vector) AS score
    FROM freshet.items
    WHERE generation = %(generation)s
    ORDER BY vector <#> %(vector)s::vector
    LIMIT 10
"""


def main() -> None:
    """Print the ten nearest items."""
    artifacts, conninfo, text = sys.argv[1:]
    with psycopg.connect(conninfo) as connection:
        for item_id, title, score in ask(connection, ArtifactStore(Path(artifacts)), text):
            print(f"{score:.3f}  {item_id}  {title}")


def ask(
    connection: psycopg.Connection, artifacts: ArtifactStore, text: str
) -> list[tuple[str, str, float]]:
    """Return id, title and score of the ten items nearest to a query."""
    found: list[tuple[str, str, float]] = []
    for _ in range(3):
        row = connection.execute("SELECT generation FROM freshet.generation WHERE is_live")
        (generation_id,) = row.fetchone() or ("",)
        if not generation_id:
            break
        # A service opens each generation once: this reads and checks all of it.
        generation = open_generation(artifacts.generation_path(generation_id), has_fresh=False)
        vector = ",".join(map(str, query_vector(generation, text).tolist()))
        found = connection.execute(
            NEAREST, {"vector": f"[{vector}]", "generation": generation_id}
        ).fetchall()
        if found:
            break
        # Another generation became live in between: vectors of two do not compare.
    return found


def query_vector(generation: Generation, text: str) -> NDArray[np.float32]:
    """Return the vector of a known query, or what the encoder makes of a new one."""
    query = normalize_query(text)
    known = generation.find_query(query)
    if known is not None:
        known_vector: NDArray[np.float32] = generation.query_vectors[known]
        return known_vector
    return generation.text_encoder().encode(query)


if __name__ == "__main__":
    main()
