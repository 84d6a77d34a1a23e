"""Event histories: one event, events into stores, and what stores hold then.

`testing.graph.deliveries` draws them for properties; processes of tests start sooner
without what draws.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stream.actions import Action
from stream.changes.apply import ApplyResult, apply_batch
from stream.events.columns import Texts, batch_of
from stream.events.types import CatalogItem, Interaction, Rejection, SourcePartition
from stream.kafka.partitioner import shard_of
from stream.reading.reader import open_graph
from stream.settings import StreamSettings
from stream.shard.shard import Shard
from stream.store.store import Store

EFFORT = 2 if os.environ.get("CI") else 1
"""How many times the usual number of examples a property of whole stores is tried with.
"""

NOON_MS = 1_700_000_000_000  # any time; times of events are around it
DAY_MS = 86_400_000


def event(
    session_id: str = "s-1",
    query: str = "tv",
    item_id: str = "a",
    ts_ms: int = NOON_MS,
    action: Action = Action.CLICK,
    user_id: str = "",
) -> Interaction:
    """Return one interaction."""
    return Interaction(
        ts_ms=ts_ms,
        session_id=session_id,
        user_id=user_id,
        query=query,
        item_id=item_id,
        action=action,
    )


def apply_events(
    shard: Shard,
    events: Sequence[Interaction],
    items: Sequence[CatalogItem] = (),
    positions: Mapping[SourcePartition, int] | None = None,
    on_refused: Callable[[Sequence[Rejection]], None] | None = None,
) -> ApplyResult:
    """Apply events and catalogue items to a shard in one write."""
    texts = Texts()
    batch = batch_of(events, texts, items=items, positions=positions)
    return apply_batch(shard, batch, texts, on_refused=on_refused)


def apply_all(store: Store, events: Sequence[Interaction], offset: int = 0) -> None:
    """Apply events to the shards that they belong to, as a file source does."""
    position = SourcePartition("file", 0)
    for index in range(store.num_shards):
        own = [
            event
            for event in events
            if shard_of(event.session_id or event.user_id, store.num_shards) == index
        ]
        if own:
            apply_events(store.shard(index), own, positions={position: offset})


def build(
    root: Path, batches: Iterable[Sequence[Interaction]], settings: StreamSettings, num_shards: int
) -> None:
    """Apply batches one after the other, closing the store after each."""
    for batch in batches:
        with Store.create_or_open(root, settings, num_shards) as store:
            apply_all(store, batch)


def dump(path: Path, settings: StreamSettings, at_ms: int | None = None) -> list[dict[str, Any]]:
    """Return the dump of a store or snapshot as records."""
    with open_graph(path, settings) as graph:
        return [json.loads(line) for line in graph.dump(at_ms)]


def graph_hash(path: Path, settings: StreamSettings) -> str:
    """Return the hash of a store's or snapshot's graph."""
    with open_graph(path, settings) as graph:
        return graph.graph_hash()
