"""Small generations with random vectors, written to disk as a tuner would."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.artifact.attributes.build import build_attributes
from model.artifact.checks.canaries import make_canaries
from model.artifact.encoder import TextEncoder, unit_rows
from model.artifact.files import PATHS_PREFIX
from model.artifact.index.engine import load_engine
from model.artifact.index.engines import FIRST_ENGINE
from model.artifact.paths import PathGraph
from model.artifact.store import ArtifactStore, new_generation_id
from model.artifact.writer import GenerationWriter
from model.context import NO_CONTEXT, ContextWeights
from model.settings import ModelSettings
from protos import manifest_v1_pb2 as manifest_pb
from protos.text import normalize_query, text_key
from stream.files import new_directory, replace_file
from stream.graph.attributes import attribute_columns
from testing.graph.path_graphs import path_graph
from testing.vectors import width

# Small, so that a generation is written in milliseconds, and all different, so that
# none passes for another.
DIM, HIDDEN, NUM_BUCKETS = 16, 8, 512
NOW_MS = 1_790_000_000_000  # any time after 2026
# Written by the last version whose manifests name no index engine and no channels: the
# shop of `testing.small_shop`, 60 sessions, 28 items.
GOLDEN = Path(__file__).parent / "golden" / "generations" / "20270115T080000Z-00148c"
INDEX_NAME = load_engine(FIRST_ENGINE).file_name
INDEXED = ModelSettings(index_engine=FIRST_ENGINE, num_trees=10, seed=1)


@dataclass(kw_only=True)
class Catalogue:
    """What a synthetic generation holds.

    A test changes what it cares about before it is written.
    """

    titles: list[str]
    queries: list[str]
    seed: int = 0
    settings: ModelSettings = INDEXED
    hidden: frozenset[int] = frozenset()
    watermark_ms: int = NOW_MS - 60_000
    taken_ms: int = NOW_MS - 30_000
    created_ms: int = NOW_MS
    item_ids: list[str] | None = None  # None: the id of the generation, and a number
    attributes: list[dict[str, str]] | None = None  # None: as before they were stored
    context_weights: ContextWeights = NO_CONTEXT
    passed_gate: bool = True
    clicks: Sequence[tuple[int, int, int]] | None = None  # query, item, sessions; None: no paths
    sessions: Sequence[tuple[Sequence[int], Sequence[int]]] = ()  # queries and items of each
    item_vectors: NDArray[np.float32] = field(init=False)
    query_vectors: NDArray[np.float32] = field(init=False)

    def __post_init__(self) -> None:
        random = np.random.default_rng(self.seed)
        self.item_vectors = unit_rows(
            random.standard_normal((len(self.titles), DIM)).astype(np.float32)
        )
        self.query_vectors = unit_rows(
            random.standard_normal((len(self.queries), DIM)).astype(np.float32)
        )

    @property
    def encoder_arrays(self) -> dict[str, NDArray[np.float32]]:
        """Arrays of a text encoder with random weights."""
        random = np.random.default_rng(self.seed + 1)
        arrays = {"bag": random.standard_normal((NUM_BUCKETS, DIM)).astype(np.float32)}
        for tower in ("query", "item"):
            arrays[f"{tower}.hidden_weight"] = random.standard_normal((HIDDEN, DIM)).astype(
                np.float32
            )
            arrays[f"{tower}.hidden_bias"] = random.standard_normal(HIDDEN).astype(np.float32)
            arrays[f"{tower}.out_weight"] = random.standard_normal((DIM, HIDDEN)).astype(np.float32)
            arrays[f"{tower}.out_bias"] = random.standard_normal(DIM).astype(np.float32)
        return arrays

    def exact(self, vector: NDArray[np.float32], k: int) -> list[int]:
        """Return the item indexes nearest to a vector, by exact scan of what may be
        shown.
        """
        scores = self.item_vectors @ vector
        scores[list(self.hidden)] = -np.inf
        ranked = np.argsort(-scores, kind="stable")[: min(k, len(scores) - len(self.hidden))]
        return [int(item) for item in ranked]

    def nearest_to_query(self, query: str, k: int) -> list[int]:
        """Return the item indexes nearest to a known query."""
        return self.exact(self.query_vectors[self.queries.index(query)], k)

    def nearest_to_text(self, text: str, k: int) -> list[int]:
        """Return the item indexes nearest to the encoder's vector of a text."""
        return self.exact(TextEncoder(self.encoder_arrays).encode(text), k)


def make_catalogue(
    num_items: int = 200, queries: Sequence[str] = (), *, seed: int = 0
) -> Catalogue:
    """Return a catalogue of numbered items with the given queries (normalised)."""
    return Catalogue(
        titles=[f"Title {item} é" if item % 7 else "" for item in range(num_items)],
        queries=[normalize_query(query) for query in queries],
        seed=seed,
    )


def some_attributes(num_items: int) -> list[dict[str, str]]:
    """Return attributes of so many items: numbers, lists, and some that few have."""
    colours = ("red", "green, blue", "blue", "")
    return [
        {
            "price": str(1 + item % 13),
            "brand": f"brand {item % 5}",
            "colour": colours[item % len(colours)],
            **({"sale": "yes"} if item % 11 == 0 else {}),
            **({"sizes": f"{item % 40}, {item % 40 + 1}"} if item % 3 == 0 else {}),
        }
        for item in range(num_items)
    ]


class Artifacts:
    """An artifacts folder that tests publish into."""

    def __init__(self, root: Path) -> None:
        root.mkdir()
        self.store = ArtifactStore(root)
        self.root = root

    def write(self, catalogue: Catalogue, *, break_it: Callable[[Path], None] | None = None) -> str:
        """Write a generation, not yet current, and return its id.

        Item ids begin with it.

        `break_it` gets the folder before it is sealed: the manifest then vouches for
        whatever it did.
        """
        generation_id = new_generation_id(catalogue.created_ms)
        with new_directory(self.store.generation_path(generation_id)) as folder:
            manifest = _fill(folder, generation_id, catalogue)
            if break_it is not None:
                break_it(folder)
            GenerationWriter(folder).seal(manifest)
        return generation_id

    def use(self, generation_id: str) -> None:
        """Flip `CURRENT`."""
        replace_file(self.root / "CURRENT", (generation_id + "\n").encode())

    def publish(
        self, catalogue: Catalogue, *, break_it: Callable[[Path], None] | None = None
    ) -> str:
        """Write a generation and make it current."""
        generation_id = self.write(catalogue, break_it=break_it)
        self.use(generation_id)
        return generation_id

    def damage(self, generation_id: str, name: str = INDEX_NAME) -> None:
        """Flip one byte in the middle of a file of a generation, leaving its size as it
        was.
        """
        path = self.store.generation_path(generation_id) / name
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0xFF
        path.unlink()  # never write over a file that a server may have mapped
        path.write_bytes(bytes(content))


def _fill(folder: Path, generation_id: str, catalogue: Catalogue) -> manifest_pb.Generation:
    writer = GenerationWriter(folder)
    order = sorted(range(len(catalogue.queries)), key=lambda row: text_key(catalogue.queries[row]))
    num_items, num_queries = len(catalogue.titles), len(catalogue.queries)
    ids = catalogue.item_ids or [f"{generation_id}/{item}" for item in range(num_items)]
    items = sorted(range(num_items), key=lambda item: text_key(ids[item]))
    shown = np.array([item not in catalogue.hidden for item in items], dtype=np.bool_)
    index_items = np.flatnonzero(shown).astype(np.int64)
    item_vectors = catalogue.item_vectors[items]
    writer.add_strings("item_ids", [ids[item] for item in items])
    writer.add_strings("item_titles", [catalogue.titles[item] for item in items])
    writer.add_strings("query_texts", [catalogue.queries[row] for row in order])
    arrays: dict[str, NDArray[Any]] = {
        "item_keys": np.array([text_key(ids[item]) for item in items], dtype=np.uint64),
        "item_vectors": item_vectors,
        "item_shown": shown,
        "index_items": index_items,
        "query_keys": np.array(
            [text_key(catalogue.queries[row]) for row in order], dtype=np.uint64
        ),
        "query_vectors": catalogue.query_vectors[order],
        "channel_attention_items": np.full((num_items, 3), 1 / 3, dtype=np.float32),
        "channel_attention_queries": np.full((num_queries, 3), 1 / 3, dtype=np.float32),
        **{f"encoder.{name}": array for name, array in catalogue.encoder_arrays.items()},
    }
    if catalogue.clicks is not None:
        graph = _paths(catalogue, catalogue.clicks, order, items)
        arrays |= {f"{PATHS_PREFIX}{name}": array for name, array in graph.arrays().items()}
    for name, array in arrays.items():
        writer.add_array(name, array)
    if catalogue.attributes is not None:
        columns = attribute_columns([catalogue.attributes[item] for item in items])
        writer.add_attributes(build_attributes(columns, np.arange(num_items)))
    engine = load_engine(catalogue.settings.index_engine)
    engine.build(item_vectors[index_items], folder / engine.file_name, catalogue.settings)
    return manifest_pb.Generation(
        generation_id=generation_id,
        created_ms=catalogue.created_ms,
        dim=DIM,
        metric=engine.metric,
        num_items=num_items,
        num_queries=num_queries,
        num_indexed=len(index_items),
        snapshot=manifest_pb.SnapshotRef(
            taken_ms=catalogue.taken_ms, watermark_ms=catalogue.watermark_ms
        ),
        gate=manifest_pb.Gate(passed=catalogue.passed_gate),
        context_weight=catalogue.context_weights.items,
        context_query_weight=catalogue.context_weights.queries,
        index=manifest_pb.Index(
            engine=catalogue.settings.index_engine,
            search_k=width(engine, len(index_items), catalogue.settings),
        ),
        canaries=_canaries(catalogue, ids),
    )


def _paths(
    catalogue: Catalogue,
    clicks: Sequence[tuple[int, int, int]],
    order: Sequence[int],
    items: Sequence[int],
) -> PathGraph:
    """Return the graph of a catalogue's clicks and sessions, numbered as the generation
    is.
    """
    query_of = {row: place for place, row in enumerate(order)}
    item_of = {item: place for place, item in enumerate(items)}
    hyperedges = [
        [*map(query_of.__getitem__, queries), *(len(order) + item_of[item] for item in seen)]
        for queries, seen in catalogue.sessions
    ]
    rows = [(query_of[query], item_of[item], count) for query, item, count in clicks]
    return path_graph(len(order), len(items), rows, hyperedges)


def _canaries(catalogue: Catalogue, ids: Sequence[str]) -> list[manifest_pb.Canary]:
    shown = [item for item in range(len(ids)) if item not in catalogue.hidden]
    return make_canaries(
        catalogue.queries,
        catalogue.query_vectors,
        TextEncoder(catalogue.encoder_arrays).encode,
        catalogue.item_vectors[shown],
        lambda row: (ids[shown[row]], catalogue.titles[shown[row]]),
    )
