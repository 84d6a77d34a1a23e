"""A small shop whose structure is known, its graph through a real store, and generations trained on it."""

import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path
from random import Random

import pytest

from model.artifact import ArtifactStore, Generation, open_generation
from model.generation import publish
from model.settings import ModelSettings
from model.train import train
from model.trained import Trained
from stream.events import Action, CatalogItem, Interaction, Position
from stream.graph import GraphArrays, open_graph
from stream.settings import StreamSettings
from stream.snapshot_manifest import SnapshotCounts, SnapshotInfo
from stream.store import Store
from tests.stream.histories import apply_events

START_MS = 1_700_000_000_000
NOW_MS = 1_800_000_000_000
KINDS = ("mug", "lamp", "scarf", "kettle", "notebook", "backpack")
COLOURS = ("red", "blue", "green", "amber", "violet")
EXTRAS = ("buy", "cheap", "best", "gift", "new", "large", "small", "for home")

MakeArrays = Callable[..., GraphArrays]


def click(ms: int, session: str, query: str, item: str, action: Action = Action.CLICK) -> Interaction:
    """Return an event `ms` after the start."""
    return Interaction(
        ts_ms=START_MS + ms, session_id=session, user_id="", query=query, item_id=item, action=action
    )


def shop_items() -> list[CatalogItem]:
    """Return one product of each kind and colour."""
    return [
        CatalogItem(item_id=f"{kind}-{colour}", title=f"{colour.title()} {kind.title()}")
        for kind in KINDS
        for colour in COLOURS
    ]


def shop_events(num_sessions: int, seed: int = 0) -> list[Interaction]:
    """Return sessions that look for a kind, by name or with its colour, and click what fits."""
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


@pytest.fixture(scope="session")
def make_arrays(tmp_path_factory: pytest.TempPathFactory) -> MakeArrays:
    """Return a function that puts events and items through a real store and reads its arrays."""
    numbers = count()

    def make(events: Sequence[Interaction], items: Sequence[CatalogItem] = ()) -> GraphArrays:
        root = tmp_path_factory.mktemp("store") / f"{next(numbers)}.store"
        fill_store(root, events, items)
        with open_graph(root, StreamSettings()) as graph:
            return graph.arrays()

    return make


def fill_store(root: Path, events: Sequence[Interaction], items: Sequence[CatalogItem] = ()) -> None:
    """Apply events and items to the store at `root`, made first where there is none."""
    with Store.create_or_open(root, StreamSettings()) as store:
        apply_events(store.shard(0), events, items, {Position("test", 0): len(events)})


@pytest.fixture(scope="session")
def arrays(make_arrays: MakeArrays) -> GraphArrays:
    """Return the shop's graph."""
    return make_arrays(shop_events(400), shop_items())


@pytest.fixture(scope="session")
def settings() -> ModelSettings:
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


@pytest.fixture(scope="session")
def trained(arrays: GraphArrays, settings: ModelSettings) -> Trained:
    """Return the shop's model."""
    return train(arrays, settings)


@pytest.fixture
def artifacts(tmp_path: Path) -> ArtifactStore:
    """Return an artifact folder that does not exist yet."""
    return ArtifactStore(tmp_path / "artifacts")


@pytest.fixture
def generation(
    trained: Trained, arrays: GraphArrays, settings: ModelSettings, artifacts: ArtifactStore
) -> Generation:
    """Return the shop's model, published and live."""
    generation_id = publish(trained, arrays, snapshot_of(arrays), artifacts, settings, NOW_MS)
    return open_generation(artifacts.generation_path(generation_id))


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
    return replace(arrays, item_titles=[title] * arrays.num_items, item_texts=[""] * arrays.num_items)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Return a folder with a log: the shop's events over six days, and its items, in the neutral form."""
    folder = tmp_path / "logs" / "shop"
    folder.mkdir(parents=True)
    with gzip.open(folder / "events.jsonl.gz", "wt", encoding="utf-8") as out:
        for event in shop_events(300):
            ts_ms = START_MS + 30 * (event.ts_ms - START_MS)
            row = {**asdict(event), "type": "search_click", "action": None, "ts_ms": ts_ms}
            out.write(json.dumps(row) + "\n")
    with gzip.open(folder / "items.jsonl.gz", "wt", encoding="utf-8") as out:
        for item in shop_items():
            out.write(json.dumps({"item_id": item.item_id, "title": item.title}) + "\n")
    return folder.parent


@pytest.fixture
def ticks() -> Iterator[int]:
    """Return an endless count, for times that only need to differ."""
    return count(NOW_MS, 1000)
