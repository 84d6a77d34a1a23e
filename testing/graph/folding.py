"""Deliveries over several fold ages, with steps of folding anywhere among them."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from hypothesis import strategies as st

from stream.actions import Action
from stream.changes.fold import fold_step
from stream.events.types import Interaction
from stream.reading.reader import GraphReader
from stream.settings import StreamSettings
from stream.shard import codec
from stream.shard.shard import Shard
from stream.store.store import Store
from testing.histories import DAY_MS, NOON_MS, apply_all, event

# Both shorter than from one of the times of deliveries to the next, so that folding
# is often due.
FOLD_AGE_MS, RETENTION_MS = 10 * DAY_MS, 2 * DAY_MS
FOREVER = StreamSettings(session_retention_seconds=RETENTION_MS / 1000)
FOLDING = replace(FOREVER, erasure_horizon_seconds=FOLD_AGE_MS / 1000)
EVERYTHING = 1_000_000  # entries: more than any of these stores has

Step = list[Interaction] | int
"""Events to apply; or how many entries one step of folding may read, `EVERYTHING`: fold
all that is due; 0: close the store and open it again.
"""


@st.composite
def folding_histories(draw: st.DrawFn) -> list[tuple[Interaction, int]]:
    """Return events over several fold ages with their delays, which are within the
    retention bound.

    No session lasts longer than the fold age less the retention bound.
    """
    spans = [(f"s-{number}", number * 3 * DAY_MS) for number in range(12)]
    day = st.integers(0, FOLD_AGE_MS - RETENTION_MS)
    events = draw(
        st.lists(
            st.builds(
                lambda span, after_ms, query, item, action, user: event(
                    span[0], query, item, NOON_MS + span[1] + after_ms, action, user
                ),
                st.sampled_from(spans),
                st.one_of(st.sampled_from([0, 5, DAY_MS]), day),
                st.sampled_from(["", "tv", "radio"]),
                st.sampled_from(["a", "b", "c"]),
                st.sampled_from(Action),
                st.sampled_from(["", "u-1"]),
            ),
            min_size=1,
            max_size=40,
        )
    )
    repeats = draw(st.lists(st.sampled_from(events), max_size=6))
    delays = st.integers(0, RETENTION_MS)
    return [(one, draw(delays)) for one in [*events, *repeats]]


@st.composite
def folding_deliveries(draw: st.DrawFn) -> tuple[list[Interaction], list[Step]]:
    """Return a history, and one way to deliver it, with steps of folding and
    reopenings anywhere in it.
    """
    history = draw(folding_histories())
    arriving = [one for one, delay in sorted(history, key=lambda pair: pair[0].ts_ms + pair[1])]
    steps: list[Step] = []
    while arriving:
        size = draw(st.integers(1, 8))
        steps.append(arriving[:size])
        del arriving[:size]
        steps += draw(st.lists(st.sampled_from([0, 1, 1, 3, 7, EVERYTHING]), max_size=4))
    return [one for one, _ in history], steps


def deliver_steps(
    root: Path, steps: Iterable[Step], settings: StreamSettings, num_shards: int = 1
) -> None:
    """Carry out the steps on the store at `root`, which is made and closed again."""
    store = Store.create_or_open(root, settings, num_shards)
    for step in steps:
        if isinstance(step, list):
            apply_all(store, step)
        elif step:
            for shard in store.open_shards():
                fold_all(shard) if step == EVERYTHING else fold_step(shard, step)
        else:
            store.close()
            store = Store.create_or_open(root, settings)
            for index in range(num_shards):
                store.shard(index)
    store.close()


def fold_all(shard: Shard, max_records: int = EVERYTHING) -> None:
    """Fold everything that is old enough."""
    while fold_step(shard, max_records):
        pass


def edges_by_item(graph: GraphReader) -> dict[tuple[str, str], tuple[int, int, int]]:
    """Return sessions and times of all edges, found from their items."""
    queries, items = dict(graph.names(codec.QUERY_NAME)), dict(graph.names(codec.ITEM_NAME))
    return {
        (queries[query], items[item]): (sessions, first_ms, last_ms)
        for key in items
        for edges in [graph.edges_of_item(key)]
        for query, item, sessions, first_ms, last_ms in zip(
            *(
                column.tolist()
                for column in (edges.query, edges.item, edges.sessions, edges.first_ms)
            ),
            edges.last_ms.tolist(),
            strict=True,
        )
    }
