"""The queries that the demo asks."""

from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np

from freshet.process import CommandError
from freshet.shop.searches import misspell
from stream.reading.reader import open_graph
from stream.settings import StreamSettings


@dataclass(frozen=True, kw_only=True)
class Queries:
    """The three queries of the demo: a frequent, a rare and an unseen one."""

    frequent: str
    rare: str
    unseen: str
    like: str


def choose_queries(store: Path, random: Random) -> Queries:
    """Return the most frequent query of a store, a rare one, and a misspelling that is
    not in the log.

    Raises:
        CommandError: there is no query in the graph.
    """
    with open_graph(store, StreamSettings()) as graph:
        arrays = graph.arrays()
    if not len(arrays.edge_query):
        raise CommandError("the log has no click with a query, so the demo has no query to run")
    num_sessions = np.bincount(
        arrays.edge_query, arrays.edge_sessions, minlength=arrays.num_queries
    )
    order = [
        int(index) for index in np.argsort(-num_sessions, kind="stable") if num_sessions[index] > 0
    ]
    texts = arrays.query_texts
    rare = [texts[index] for index in order if num_sessions[index] == num_sessions[order[-1]]]
    like = random.choice([texts[index] for index in order[1:20]] or [texts[order[0]]])
    known = set(texts)
    slips = (misspell(like, random) for _ in range(100))
    unseen = next((slip for slip in slips if slip not in known), f"{like} {like}")
    long_enough = [text for text in rare if " " in text] or rare
    return Queries(
        frequent=texts[order[0]], rare=random.choice(long_enough), unseen=unseen, like=like
    )
