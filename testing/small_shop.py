"""A small shop whose structure is known.

Its events, its items, its graph through a real store.
"""

import gzip
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from random import Random

from model.settings import ModelSettings
from stream.actions import Action
from stream.events.types import CatalogItem, Interaction, SourcePartition
from stream.graph.arrays import GraphArrays
from stream.reading.manifest import SnapshotCounts, SnapshotInfo
from stream.settings import StreamSettings
from stream.store.store import Store
from testing.histories import apply_events

START_MS = 1_700_000_000_000  # of the first session
NOW_MS = 1_800_000_000_000  # of the training: three years later, after all sessions
KINDS = ("mug", "lamp", "scarf", "kettle", "notebook", "backpack")
COLOURS = ("red", "blue", "green", "amber", "violet")
EXTRAS = ("buy", "cheap", "best", "gift", "new", "large", "small", "for home")

MakeArrays = Callable[..., GraphArrays]


def click(
    ms: int, session: str, query: str, item: str, action: Action = Action.CLICK
) -> Interaction:
    """Return an event `ms` after the start."""
    return Interaction(
        ts_ms=START_MS + ms,
        session_id=session,
        user_id="",
        query=query,
        item_id=item,
        action=action,
    )


def shop_items() -> list[CatalogItem]:
    """Return one product of each kind and colour."""
    return [
        CatalogItem(item_id=f"{kind}-{colour}", title=f"{colour.title()} {kind.title()}")
        for kind in KINDS
        for colour in COLOURS
    ]


def shop_events(num_sessions: int, seed: int = 0) -> list[Interaction]:
    """Return sessions that look for a kind, by name or with its colour, and click what
    fits.
    """
    random = Random(seed)
    events = []
    for number in range(num_sessions):
        kind, colour = random.choice(KINDS), random.choice(COLOURS)
        for step in range(random.randint(1, 3)):
            query = " ".join([*random.sample(EXTRAS, random.randint(0, 2)), colour, kind])
            wanted = colour if random.random() < 0.8 else random.choice(COLOURS)
            ms = number * 60_000 + step * 1000
            events.append(click(ms, f"s{number}", query, f"{kind}-{wanted}"))
    return events


def browsing_events(num_sessions: int, *, follows_intent: bool, seed: int = 0) -> list[Interaction]:
    """Return sessions of three clicks: one query names a kind and a colour, those after
    it the colour alone.

    Args:
        num_sessions: how many.
        follows_intent: all clicks of a session are on the kind that its first query
            names; else the later ones are on any.
        seed: of the draws.
    """
    random = Random(seed)
    events = []
    for number in range(num_sessions):
        kind = random.choice(KINDS)
        for step in range(3):
            colour, extras = random.choice(COLOURS), random.sample(EXTRAS, 2)
            wanted = kind if follows_intent or step == 0 else random.choice(KINDS)
            query = " ".join([*extras, colour, *([kind] if step == 0 else [])])
            ms = number * 60_000 + step * 1000
            events.append(click(ms, f"s{number}", query, f"{wanted}-{colour}"))
    return events


def wide_items() -> list[CatalogItem]:
    """Return the ninety items of `wide_events`."""
    return [CatalogItem(item_id=f"t{number}", title=f"Thing {number}") for number in range(90)]


def wide_events(num_sessions: int, seed: int = 0) -> list[Interaction]:
    """Return sessions of one to four clicks among ninety items, few of them popular,
    each found by its number and an extra word.
    """
    random = Random(seed)
    events = []
    for number in range(num_sessions):
        for step in range(random.randint(1, 4)):
            item = int(90 * random.random() ** 2)
            query = f"{random.choice(EXTRAS)} thing {item}"
            events.append(click(number * 60_000 + step * 1000, f"s{number}", query, f"t{item}"))
    return events


def fill_store(
    root: Path, events: Sequence[Interaction], items: Sequence[CatalogItem] = ()
) -> None:
    """Apply events and items to the store at `root`, made first where there is none."""
    with Store.create_or_open(root, StreamSettings()) as store:
        apply_events(store.shard(0), events, items, {SourcePartition("test", 0): len(events)})


def snapshot_of(arrays: GraphArrays, *, graph_hash: str = "f" * 64) -> SnapshotInfo:
    """Return a description of the snapshot that `arrays` might come from."""
    counts = SnapshotCounts(
        facts=len(arrays.fact_ms),
        edge_facts=len(arrays.fact_ms),
        sessions=arrays.num_sessions,
        hyperedges=0,
        incidences=len(arrays.incidence_item),
    )
    return SnapshotInfo(
        snapshot_id="20261123T000000Z-00000000",
        path=Path("gone"),
        taken_ms=NOW_MS,
        watermark_ms=arrays.watermark_ms,
        graph_hash=graph_hash,
        half_life_seconds=1.0,
        action_weights={},
        counts=counts,
        shards=(),
    )


def with_titles(arrays: GraphArrays, title: str) -> GraphArrays:
    """Return the graph with the same title for every item."""
    return replace(
        arrays, item_titles=[title] * arrays.num_items, item_texts=[""] * arrays.num_items
    )


def write_log(folder: Path) -> None:
    """Write the shop's events over six days, and its items, in the neutral form."""
    folder.mkdir(parents=True)
    with gzip.open(folder / "events.jsonl.gz", "wt", encoding="utf-8") as out:
        for event in shop_events(300):
            ts_ms = START_MS + 30 * (event.ts_ms - START_MS)
            row = {**asdict(event), "type": "search_click", "action": None, "ts_ms": ts_ms}
            out.write(json.dumps(row) + "\n")
    with gzip.open(folder / "items.jsonl.gz", "wt", encoding="utf-8") as out:
        for item in shop_items():
            out.write(json.dumps({"item_id": item.item_id, "title": item.title}) + "\n")


def small_settings() -> ModelSettings:
    """Return settings that train the shop in well under a second."""
    return ModelSettings(
        dim=16,
        num_buckets=1 << 12,
        hidden=16,
        learning_rate=0.01,
        batch_size=128,
        max_passes=12,
        num_threads=1,
        device="cpu",
        num_trees=5,
    )
