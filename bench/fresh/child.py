"""Applies rounds to a generation in a process of its own: ``python -m bench.fresh.child
GENERATION ROUNDS VECTORS`` reads and writes pickles of `bench.fresh.refresher`.
"""

import json
import pickle
import sys
import time
from pathlib import Path

from model.artifact.generation import open_generation
from model.fresh.state import FreshState
from stream.dtypes import Float32s


def main(argv: list[str]) -> None:
    """Print the figures as JSON; write the newest vector of all that was published."""
    path, rounds_path, vectors_path = map(Path, argv)
    rounds = pickle.loads(rounds_path.read_bytes())  # noqa: S301  # our own
    generation = open_generation(path, verify=False)
    began = time.process_time()
    state = FreshState(generation)
    opened = time.process_time() - began
    queries: dict[str, Float32s] = {}
    items: dict[str, Float32s] = {}
    seconds, recomputed, named = [], [], []
    for changes in rounds:
        began = time.process_time()
        result = state.apply([changes])
        seconds.append(time.process_time() - began)
        recomputed.append(result.recomputed)
        members = changes.sessions.member[changes.sessions.is_query]
        named.append(len(set(members.tolist())) + len(set(changes.edges.item.tolist())))
        queries.update(zip(result.query_texts, result.query_vectors, strict=True))
        items.update(zip(result.item_ids, result.item_vectors, strict=True))
    vectors_path.write_bytes(pickle.dumps({"query": queries, "item": items}))
    figures = {
        "open": opened,
        "first": seconds[0],
        "seconds": seconds[1:],
        "recomputed": recomputed[1:],
        "named": named[1:],
        "peak_mib": _peak_kib() / 1024,
    }
    print(json.dumps(figures))


def _peak_kib() -> int:
    """Return the largest resident memory since this program began; that of `getrusage`
    has its parent's in it.
    """
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


if __name__ == "__main__":
    main(sys.argv[1:])
