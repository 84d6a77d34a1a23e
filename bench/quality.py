"""Retrieval quality on real logs, model against baselines: ``python -m bench quality``.

A log is split by time: the first 80% go through the stream into a graph (of which training holds its newest
eighth out, to stop in time), the last 20% are the test. Only query-item pairs that the graph does not have
are scored, by their rank among all items; queries are grouped by the clicks they had before the test.
"""

import argparse
import gzip
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from model.encoder import TextEncoder
from model.evaluate import edge_ranks, popularity_ranks, quality_of
from model.settings import ModelSettings
from model.trained import Trained
from protos.text import normalize_query
from stream.graph import GraphArrays, open_graph
from stream.metrics import StreamMetrics
from stream.quarantine import FileQuarantine
from stream.settings import StreamSettings
from stream.source_file import FileSource
from stream.store import Store
from stream.worker import run_worker

Ints = NDArray[np.int64]
Ranks = NDArray[np.float64]

_TEST_SHARE = 0.2
_VALIDATION_SHARE = 0.125
_RARE_CLICKS = 5
_SEGMENTS = ("all", "frequent", "rare", "new")
# Whether a model uses the bipartite channel, the hypergraph channel, id vectors.
_CHANNELS = {
    "full": (True, True, True),
    "bipartite": (True, False, True),
    "hypergraph": (False, True, True),
    "text": (False, False, False),
}
_MODELS = ("popularity", *_CHANNELS)


@dataclass(frozen=True, kw_only=True)
class Unseen:
    """The query-item pairs of the test part that the graph does not have.

    Attributes:
        texts: normalised queries; known ones have the numbers of the arrays, new ones follow.
        num_known: how many of `texts` are known.
        query: ``int64 [num_edges]``.
        item: ``int64 [num_edges]``.
        clicks: ``int64 [num_texts]``, clicks of each query before the test.
    """

    texts: list[str]
    num_known: int
    query: Ints
    item: Ints
    clicks: Ints

    def of_segment(self, segment: str) -> NDArray[np.bool_]:
        """Return ``bool [num_edges]``: the edge's query belongs to the segment."""
        clicks = self.clicks[self.query]
        segments: dict[str, NDArray[np.bool_]] = {
            "all": np.ones(len(clicks), dtype=np.bool_),
            "frequent": clicks >= _RARE_CLICKS,
            "rare": (clicks > 0) & (clicks < _RARE_CLICKS),
            "new": clicks == 0,
        }
        return segments[segment]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the result; `seed` -1 is the mean over seeds."""

    log: str
    model: str
    segment: str
    seed: int
    queries: int
    edges: int
    mrr: float
    recall_10: float
    recall_100: float
    seconds: float


def run(argv: Sequence[str]) -> None:
    """Measure and print a table, then one JSON line a row."""
    options = _parse(argv)
    rows: list[Row] = []
    for log in options.logs:
        with tempfile.TemporaryDirectory() as folder:
            arrays, unseen = read_log(data_folder() / log, Path(folder))
        for name in options.models:
            rows += _measure(log, name, arrays, unseen, options)
    _print_table(rows)
    for row in rows:
        print(json.dumps({name: _rounded(value) for name, value in asdict(row).items()}))


def read_log(source: Path, work: Path) -> tuple[GraphArrays, Unseen]:
    """Stream the first part of a log into a graph; return it with what the last part adds."""
    events = source / "events.jsonl.gz"
    with gzip.open(events, "rt", encoding="utf-8") as lines:
        num_train = int((1.0 - _TEST_SHARE) * sum(1 for _ in lines))
    with gzip.open(events, "rt", encoding="utf-8") as lines:
        train_path = work / "train.jsonl"
        with train_path.open("w", encoding="utf-8") as out:
            out.writelines(islice(lines, num_train))
        arrays = _stream(train_path, source / "items.jsonl.gz", work / "store")
        return arrays, _unseen(arrays, lines)


def _stream(events: Path, items: Path, root: Path) -> GraphArrays:
    settings = StreamSettings()
    source = FileSource([str(events)], settings, catalog_paths=[str(items)])
    with (
        Store.create_or_open(root, settings) as store,
        closing(FileQuarantine(root / "quarantine.jsonl")) as quarantine,
    ):
        metrics = StreamMetrics(CollectorRegistry())
        run_worker(source, store, quarantine, settings, metrics, threading.Event())
    with open_graph(root, settings) as graph:
        return graph.arrays()


def _unseen(arrays: GraphArrays, lines: Iterator[str]) -> Unseen:
    texts = list(arrays.query_texts)
    query_of = {text: query for query, text in enumerate(texts)}
    item_of = {item_id: item for item, item_id in enumerate(arrays.item_ids)}
    known = set(zip(arrays.edge_query.tolist(), arrays.edge_item.tolist(), strict=True))
    pairs: set[tuple[int, int]] = set()
    for line in lines:
        event = json.loads(line)
        text = normalize_query(event["query"] or "")
        if not text or event["item_id"] not in item_of:
            continue
        if text not in query_of:
            query_of[text] = len(texts)
            texts.append(text)
        pairs.add((query_of[text], item_of[event["item_id"]]))
    edges = np.array(sorted(pairs - known), dtype=np.int64).reshape(-1, 2)
    clicks = np.bincount(arrays.fact_query, minlength=len(texts))
    return Unseen(
        texts=texts, num_known=len(arrays.query_texts), query=edges[:, 0], item=edges[:, 1], clicks=clicks
    )


def _measure(
    log: str, name: str, arrays: GraphArrays, unseen: Unseen, options: argparse.Namespace
) -> Iterator[Row]:
    """Yield the rows of one model: each seed's, then their mean."""
    rows: list[Row] = []
    for seed in options.seeds if name != "popularity" else options.seeds[:1]:
        began = time.monotonic()
        ranks = _ranks(name, arrays, unseen, _settings(name, seed, options))
        seconds = time.monotonic() - began
        for segment in _SEGMENTS:
            wanted = unseen.of_segment(segment)
            quality = quality_of(ranks[wanted], unseen.query[wanted])
            rows.append(
                Row(
                    log=log,
                    model=name,
                    segment=segment,
                    seed=seed,
                    queries=quality.num_queries,
                    edges=quality.num_edges,
                    mrr=quality.mrr,
                    recall_10=quality.recall_10,
                    recall_100=quality.recall_100,
                    seconds=seconds,
                )
            )
    yield from rows
    for segment in _SEGMENTS:
        yield _mean([row for row in rows if row.segment == segment])


def _settings(name: str, seed: int, options: argparse.Namespace) -> ModelSettings:
    settings = ModelSettings(
        seed=seed,
        dim=options.dim,
        budget_seconds=options.budget,
        validation_share=_VALIDATION_SHARE,
        device=options.device,
    )
    if name == "popularity":
        return settings
    use_bipartite, use_hypergraph, use_ids = _CHANNELS[name]
    return replace(settings, use_bipartite=use_bipartite, use_hypergraph=use_hypergraph, use_ids=use_ids)


def _ranks(name: str, arrays: GraphArrays, unseen: Unseen, settings: ModelSettings) -> Ranks:
    held_out, seen = (unseen.query, unseen.item), (arrays.edge_query, arrays.edge_item)
    if name == "popularity":
        popularity = np.bincount(arrays.fact_item, minlength=arrays.num_items)
        return popularity_ranks(popularity, held_out, seen)
    from model.train import train

    trained = train(arrays, settings)
    return edge_ranks(_query_vectors(trained, unseen), trained.item_vectors, held_out, seen)


def _query_vectors(trained: Trained, unseen: Unseen) -> NDArray[np.float32]:
    """Answer as a server does: known queries by their vector, new ones through the text encoder."""
    encoder = TextEncoder(trained.encoder)
    new = [encoder.encode(text) for text in unseen.texts[unseen.num_known :]]
    return np.concatenate([trained.query_vectors, np.array(new).reshape(-1, encoder.dim)])


def _mean(rows: Sequence[Row]) -> Row:
    return replace(
        rows[0],
        seed=-1,
        mrr=float(np.mean([row.mrr for row in rows])),
        recall_10=float(np.mean([row.recall_10 for row in rows])),
        recall_100=float(np.mean([row.recall_100 for row in rows])),
        seconds=float(np.mean([row.seconds for row in rows])),
    )


def _print_table(rows: Sequence[Row]) -> None:
    print(
        f"{'log':16} {'model':12} {'segment':10} {'queries':>8} {'MRR':>7} {'R@10':>7} {'R@100':>7} {'s':>7}"
    )
    for row in rows:
        if row.seed == -1:
            figures = f"{row.mrr:7.4f} {row.recall_10:7.4f} {row.recall_100:7.4f} {row.seconds:7.1f}"
            print(f"{row.log:16} {row.model:12} {row.segment:10} {row.queries:8} {figures}")


def _rounded(value: float | str) -> float | str:
    return round(value, 4) if isinstance(value, float) else value


def data_folder() -> Path:
    """Return the folder of event logs: ``FRESHET_DATA``, or the usual place beside the repository."""
    default = Path(__file__).resolve().parent.parent / ".." / "shared" / "data"
    folder = Path(os.environ.get("FRESHET_DATA", default))
    if not folder.is_dir():
        raise SystemExit(f"no event logs at {folder}; set FRESHET_DATA to a folder of logs")
    return folder


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench quality", description=__doc__)
    parser.add_argument("--logs", nargs="+", default=["bestbuy_xbox", "lastfm_hetrec"])
    parser.add_argument("--models", nargs="+", default=list(_MODELS), choices=_MODELS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--budget", type=float, default=600.0, help="seconds a training")
    parser.add_argument("--dim", type=int, default=ModelSettings.dim)
    parser.add_argument("--device", default="auto")
    return parser.parse_args(argv)
