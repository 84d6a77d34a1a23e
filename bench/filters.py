"""What a filter costs and finds, from half of the items to one in ten thousand, beside
no filter in the same run: ``python -m bench filters``.
"""

import argparse
import json
import math
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.serving.generations import write_generation, write_overlay
from model.artifact.index.engines import AUTO, ENGINES
from model.artifact.overlay.folder import OverlayFolder
from model.artifact.store import ArtifactStore
from server.filters.conditions import AnyOf, Condition, Filter, FilterPath, NumberRange
from server.filters.search import SCANNED_NUMBERS, FilteredNearest, search_filtered
from server.live import LiveGeneration
from server.overlay.loading import load_segments
from server.overlay.search import Nearest, search
from server.overlay.view import LiveView
from server.settings import ServerSettings

_SHARES = (0.5, 0.1, 0.01, 0.001, 0.0001)
# Items and places of an answer; the default of a request.
_K = 10
# Calls of a block, and blocks of each kind: the median of so many is within some 3 in
# 100 on a busy machine. Twice as many: twice as long.
_BLOCK_CALLS, _BLOCKS = 20, 25
# Prices are whole cents up to this: as many different ones as a shop has.
_MOST_CENTS = 20_000

Vectors = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One row of the result.

    Attributes:
        items: of the generation.
        filter: what is asked; empty: nothing.
        matching: items that match.
        returned: hits of an answer, the mean.
        recall: share of the exact ten nearest that match which are in the answer.
        cpu_ms: CPU of a search with the server's own choice of the way.
        cpu_ratio: by that of a search without a filter, in the same run.
        exact_cpu_ms: of one that compares all that match.
        widened_cpu_ms: of one that asks the index first, where it can.
        paths: how often each way was taken by the server's choice.
    """

    items: int
    filter: str
    matching: int
    returned: float
    recall: float
    cpu_ms: float
    cpu_ratio: float
    exact_cpu_ms: float | None = None
    widened_cpu_ms: float | None = None
    paths: Mapping[str, int] | None = None


def run(argv: Sequence[str]) -> None:
    """Measure and print a table, then one JSON line a row."""
    parser = argparse.ArgumentParser(prog="python -m bench filters", description=__doc__)
    parser.add_argument("--items", type=int, nargs="+", default=[30_000, 100_000])
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--engine", choices=[AUTO, *ENGINES], default=AUTO)
    parser.add_argument(
        "--overlay", type=int, default=0, help="items of the overlay; 0: there is none"
    )
    options = parser.parse_args(argv)
    rows: list[Measured] = []
    for items in options.items:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            write_generation(
                root, items, 2000, options.dim, options.engine, attributes_of=_attributes_of
            )
            if options.overlay:
                write_overlay(root, options.overlay, attributes_of=_attributes_of)
            view = _view(root)
        index = view.live.generation.manifest.index
        print(
            f"{items} items, overlay {options.overlay}, engine {index.engine}, "
            f"search_k {index.search_k}"
        )
        rows += _measure(view)
    _print(rows)


def _attributes_of(vectors: Vectors) -> list[dict[str, str]]:
    """Return attributes that given shares of the items have: anywhere (`tag`), by their
    price, or all on one side (`side`), far from most queries.
    """
    random = np.random.default_rng(7)
    count = len(vectors)
    side = vectors @ random.standard_normal((vectors.shape[1],), dtype=np.float32)
    by_side = np.argsort(np.argsort(-side))
    by_chance = random.permutation(count)
    cents = random.integers(0, _MOST_CENTS, count)
    return [
        {
            "price": f"{cents[item] / 100:.2f}",
            "brand": f"brand {by_chance[item] % 200}",
            **{
                f"{name} {share:g}": "yes"
                for name, rank in (("tag", by_chance[item]), ("side", by_side[item]))
                for share in _SHARES
                if rank < max(1, round(share * count))
            },
        }
        for item in range(count)
    ]


def _filters() -> Iterator[tuple[str, Condition]]:
    for share in _SHARES:
        for name in ("tag", "side"):
            attribute = f"{name} {share:g}"
            yield attribute, Condition(attribute=attribute, test=AnyOf(("yes",)))
        price = NumberRange(high=share * _MOST_CENTS / 100, has_high=False)
        yield f"price {share:g}", Condition(attribute="price", test=price)
    brand = Condition(attribute="brand", test=AnyOf(("brand 3",)), is_negated=True)
    yield "not brand", brand


def _view(root: Path) -> LiveView:
    store = ArtifactStore(root)
    # A recall is what is measured here, so none is asked for.
    settings = ServerSettings(canary_floor=0.0)
    path = store.generation_path(store.current_id() or "")
    bare = LiveView.bare(LiveGeneration.load(path, settings))
    folder = OverlayFolder.of(root)
    newest = folder.newest(bare.generation_id)
    return bare if newest is None else load_segments(folder, newest, bare).view


def _measure(view: LiveView) -> Iterator[Measured]:
    queries = view.live.generation.query_vectors[: _BLOCK_CALLS * _BLOCKS]
    found = [search(view.live, view.overlay, query, _K) for query in queries]
    every = _everything(view)
    yield Measured(
        items=len(view.live.index),
        filter="",
        matching=view.num_shown,
        returned=_K,
        recall=_recall(view, queries, every, found),
        cpu_ms=_cpu_ms(view, queries, {})[""],
        cpu_ratio=1.0,
    )
    for name, condition in _filters():
        yield _measure_filter(view, queries, name, Filter(conditions=(condition,)))


def _measure_filter(view: LiveView, queries: Vectors, name: str, wanted: Filter) -> Measured:
    def asked(scanned_numbers: float) -> Callable[[NDArray[np.float32]], FilteredNearest]:
        return lambda query: search_filtered(
            view, query, _K, wanted, scanned_numbers=scanned_numbers
        )

    every, _ = search_filtered(view, queries[0], view.num_shown, wanted, scanned_numbers=math.inf)
    found = [asked(SCANNED_NUMBERS)(query) for query in queries]
    widened = {asked(0)(query).report.path for query in queries[:_K]}
    ways = {"chosen": SCANNED_NUMBERS, "exact": math.inf}
    if widened != {FilterPath.EXACT}:
        ways["widened"] = 0
    cpu = _cpu_ms(view, queries, {way: asked(numbers) for way, numbers in ways.items()})
    return Measured(
        items=len(view.live.index),
        filter=name,
        matching=len(every.rows),
        returned=float(np.mean([len(each.nearest.rows) for each in found])),
        recall=_recall(view, queries, every, [each.nearest for each in found]),
        cpu_ms=cpu["chosen"],
        cpu_ratio=round(cpu["chosen"] / cpu[""], 2),
        exact_cpu_ms=cpu["exact"],
        widened_cpu_ms=cpu.get("widened"),
        paths=dict(Counter(str(each.report.path) for each in found)),
    )


def _everything(view: LiveView) -> Nearest:
    """Return all items that answers may have, in any order."""
    old = np.delete(view.live.generation.index_items, view.overlay.hidden.ids)
    is_fresh = np.arange(view.num_shown) >= len(old)
    return Nearest(
        from_overlay=is_fresh,
        rows=np.concatenate([old, view.overlay.shown]),
        scores=np.zeros(len(is_fresh), dtype=np.float32),
    )


def _recall(view: LiveView, queries: Vectors, matching: Nearest, found: Sequence[Nearest]) -> float:
    """Return which share of the exact nearest among some items was found; 1 where there
    are none.
    """
    generation, fresh = view.live.generation, view.overlay.rows
    all_vectors = np.concatenate([generation.item_vectors, fresh.item_vectors])

    def numbers(nearest: Nearest) -> NDArray[np.int64]:
        return nearest.rows + nearest.from_overlay * len(generation.item_vectors)

    those = numbers(matching)
    vectors, k = all_vectors[those], min(_K, len(those))
    hits = 0
    for query, nearest in zip(queries, found, strict=True):
        best = those[np.argpartition(-(vectors @ query), k - 1)[:k]]
        hits += len({*best.tolist()} & {*numbers(nearest).tolist()})
    return round(hits / (k * len(queries)), 4) if k else 1.0


def _cpu_ms(
    view: LiveView,
    queries: Vectors,
    ways: Mapping[str, Callable[[NDArray[np.float32]], object]],
) -> dict[str, float]:
    """Return the CPU of a search by each way, and without a filter (``""``), in
    milliseconds: medians over blocks of calls, one way after the other.
    """
    each_way = {"": lambda query: search(view.live, view.overlay, query, _K), **ways}
    seconds: dict[str, list[float]] = {name: [] for name in each_way}
    for block in range(0, len(queries), _BLOCK_CALLS):
        for name, ask in each_way.items():
            started = time.thread_time()
            for query in queries[block : block + _BLOCK_CALLS]:
                ask(query)
            seconds[name].append(time.thread_time() - started)
    return {
        name: round(float(np.median(blocks)) / _BLOCK_CALLS * 1000, 4)
        for name, blocks in seconds.items()
    }


def _print(rows: Sequence[Measured]) -> None:
    print(
        f"{'items':>8} {'filter':12} {'matching':>9} {'returned':>9} {'recall':>7} "
        f"{'CPU ms':>8} {'x none':>7} {'exact':>8} {'widened':>8}  ways"
    )
    for row in rows:
        ways = ", ".join(f"{name} {count}" for name, count in (row.paths or {}).items())
        exact, widened = (
            "" if ms is None else f"{ms:.3f}" for ms in (row.exact_cpu_ms, row.widened_cpu_ms)
        )
        print(
            f"{row.items:>8} {row.filter or 'none':12} {row.matching:>9} {row.returned:>9.2f} "
            f"{row.recall:>7.4f} {row.cpu_ms:>8.3f} {row.cpu_ratio:>7.2f} {exact:>8} "
            f"{widened:>8}  {ways}"
        )
    for row in rows:
        print(json.dumps({"bench": "filters", **asdict(row)}))
