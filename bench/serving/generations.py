"""Synthetic generations and overlays: vectors in clusters, as trained ones lie."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.artifact.attributes.build import build_attributes
from model.artifact.encoder import TextEncoder, unit_rows
from model.artifact.generation import open_generation
from model.artifact.index.engine import load_engine
from model.artifact.index.engines import AUTO
from model.artifact.overlay.folder import OverlayFolder
from model.artifact.overlay.gone import GoneList
from model.artifact.overlay.publisher import OverlayPublisher
from model.artifact.overlay.segment import Claim, no_rows
from model.artifact.store import ArtifactStore, new_generation_id
from model.artifact.writer import GenerationWriter
from model.publishing.index.choice import build_index
from model.publishing.index.questions import Kind
from model.settings import ModelSettings
from protos import manifest_v1_pb2 as manifest_pb
from protos.text import text_key
from stream.clock import now_ms
from stream.files import new_directory, replace_file
from stream.graph.attributes import attribute_columns

_HIDDEN, _NUM_BUCKETS = 128, 1 << 17  # of the encoder: the model settings' defaults
# Vectors lie in clusters, as trained ones do, not in pure noise; chosen by hand.
_CLUSTERS, _SPREAD = 200, 0.5
# How far an item of the overlay has moved, as a share of its length; chosen by hand.
_MOVED = 0.3
_QUESTIONS = 200  # as a training asks (`model.publishing.index.questions`)


def write_generation(
    root: Path,
    num_items: int,
    num_queries: int,
    dim: int,
    engine_name: str = AUTO,
    *,
    attributes_of: Callable[[NDArray[np.float32]], Sequence[Mapping[str, str]]] | None = None,
) -> None:
    """Publish a synthetic generation of clustered unit vectors under `root` and make it
    current.

    Args:
        root: the artifacts folder.
        num_items: how many items.
        num_queries: how many known queries.
        dim: length of the vectors.
        engine_name: of the index, or `AUTO`.
        attributes_of: returns the attributes of items by their vectors, ``float32
            [num_items, dim]``; None: they have none.
    """
    random = np.random.default_rng(0)
    now = now_ms()
    generation_id = new_generation_id(now)
    items, queries = _clustered(random, num_items, dim), _clustered(random, num_queries, dim)
    texts = sorted((f"query {row}" for row in range(num_queries)), key=text_key)
    with new_directory(ArtifactStore(root).generation_path(generation_id)) as folder:
        writer = GenerationWriter(folder)
        writer.add_strings(
            "item_ids", sorted((f"item-{row:07d}" for row in range(num_items)), key=text_key)
        )
        writer.add_strings(
            "item_titles", [f"A product with a title, number {row}" for row in range(num_items)]
        )
        writer.add_strings("query_texts", texts)
        arrays = _arrays(random, items, queries, texts)
        for name, array in arrays.items():
            writer.add_array(name, array)
        if attributes_of is not None:
            columns = attribute_columns(attributes_of(items))
            writer.add_attributes(build_attributes(columns, np.arange(num_items)))
        settings = ModelSettings(index_engine=engine_name, seed=1)
        index = build_index(items, _questions(queries, arrays), folder, settings)
        writer.seal(
            manifest_pb.Generation(
                generation_id=generation_id,
                created_ms=now,
                dim=dim,
                metric=load_engine(index.trial.engine).metric,
                num_items=num_items,
                num_queries=num_queries,
                num_indexed=num_items,
                snapshot=manifest_pb.SnapshotRef(taken_ms=now, watermark_ms=now),
                index=index.manifest(),
            )
        )
    replace_file(root / "CURRENT", generation_id.encode())


def unseen_text(number: int) -> str:
    """Return a query that no generation knows."""
    return f"red running shoe {number} size"


def _questions(
    queries: NDArray[np.float32], arrays: dict[str, NDArray[np.generic]]
) -> dict[Kind, NDArray[np.float32]]:
    """Return what the index is chosen by; recall is then measured with others."""
    encoder = TextEncoder(
        {
            name.removeprefix("encoder."): array.astype(np.float32, copy=False)
            for name, array in arrays.items()
            if name.startswith("encoder.")
        }
    )
    unseen = np.array([encoder.encode(unseen_text(-row)) for row in range(1, _QUESTIONS + 1)])
    return {Kind.KNOWN: queries[-_QUESTIONS:], Kind.UNSEEN: unseen}


def write_overlay(
    root: Path,
    num_items: int,
    *,
    attributes_of: Callable[[NDArray[np.float32]], Sequence[Mapping[str, str]]] | None = None,
) -> None:
    """Publish an overlay of the current generation: four in five of its items are of
    the generation and moved a little, one is new.

    Args:
        root: the artifacts folder.
        num_items: how many items.
        attributes_of: as of `write_generation`.
    """
    store = ArtifactStore(root)
    generation = open_generation(store.generation_path(store.current_id() or ""))
    random, dim = np.random.default_rng(1), generation.manifest.dim
    known = random.choice(len(generation.item_ids), num_items * 4 // 5, replace=False)
    noise = random.standard_normal((len(known), dim)) * (_MOVED / np.sqrt(dim))
    moved = unit_rows((generation.item_vectors[known] + noise).astype(np.float32))
    num_new = num_items - len(known)
    vectors = np.concatenate([moved, _clustered(random, num_new, dim)])
    attributes = [""] * num_items
    if attributes_of is not None:
        attributes = list(map(json.dumps, attributes_of(vectors)))
    ids = [*(generation.item_ids[item] for item in known), *map("new-{}".format, range(num_new))]
    rows = replace(
        no_rows(dim),
        item_ids=tuple(ids),
        item_titles=tuple(f"A title of {item}" for item in ids),
        item_attributes=tuple(attributes),
        item_shown=np.ones(len(ids), dtype=np.bool_),
        item_catalog_ms=np.zeros(len(ids), dtype=np.int64),
        item_sessions=np.zeros(len(ids), dtype=np.int64),
        item_vectors=vectors,
    )
    folder = OverlayFolder.of(root)
    publisher = OverlayPublisher(folder, generation.id, dim, GoneList(folder.gone_path))
    publisher.publish(rows, Claim(reflected_ms=now_ms()))


def _clustered(random: np.random.Generator, count: int, dim: int) -> NDArray[np.float32]:
    centres = random.standard_normal((_CLUSTERS, dim))
    noise = random.standard_normal((count, dim)) * _SPREAD
    return unit_rows((centres[random.integers(0, len(centres), count)] + noise).astype(np.float32))


def _arrays(
    random: np.random.Generator,
    items: NDArray[np.float32],
    queries: NDArray[np.float32],
    texts: list[str],
) -> dict[str, NDArray[np.generic]]:
    dim = items.shape[1]
    arrays: dict[str, NDArray[np.generic]] = {
        "item_vectors": items,
        "item_shown": np.ones(len(items), dtype=np.bool_),
        "index_items": np.arange(len(items), dtype=np.int64),
        "query_keys": np.array([text_key(text) for text in texts], dtype=np.uint64),
        "query_vectors": queries,
        "channel_attention_items": np.full((len(items), 3), 1 / 3, dtype=np.float32),
        "channel_attention_queries": np.full((len(queries), 3), 1 / 3, dtype=np.float32),
        "encoder.bag": random.standard_normal((_NUM_BUCKETS, dim)).astype(np.float32),
    }
    for tower in ("query", "item"):
        arrays[f"encoder.{tower}.hidden_weight"] = random.standard_normal((_HIDDEN, dim)).astype(
            np.float32
        )
        arrays[f"encoder.{tower}.hidden_bias"] = np.zeros(_HIDDEN, dtype=np.float32)
        arrays[f"encoder.{tower}.out_weight"] = random.standard_normal((dim, _HIDDEN)).astype(
            np.float32
        )
        arrays[f"encoder.{tower}.out_bias"] = np.zeros(dim, dtype=np.float32)
    return arrays
