"""A real database follows the artifacts folder."""

from threading import Event, Thread

import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from model.artifact.overlay.segment import Claim
from model.errors import SinkRefused, SinkUnavailable
from model.sink.database import SinkDatabase, as_text
from model.sink.folder import FolderReader
from model.sink.loop import look, run_sink
from model.sink.metrics import SinkMetrics
from protos.marks import PROBE_MARK
from testing.overlays import overlay_rows, random_units
from testing.processes.postgres import LocalPostgres
from testing.retrieval_server import wait_until
from testing.small_generations import DIM, NOW_MS, Artifacts, make_catalogue, some_attributes
from tests.model.sink.conftest import Publish, Rows

_IDS = "SELECT item_id FROM freshet.items ORDER BY item_id"
_RECALL = 0.95  # of pgvector's graph among two thousand items; it finds .99 and more


def _vectors(*item_ids: str) -> dict[str, NDArray[np.float32]]:
    vectors = random_units(np.random.default_rng(9), len(item_ids), DIM)
    return dict(zip(item_ids, vectors, strict=True))


def _nearest(vector: NDArray[np.float32], k: int) -> str:
    return f"SELECT item_id FROM freshet.items ORDER BY vector <#> '{as_text(vector)}' LIMIT {k}"


def test_readers_find_what_answers_may_have(
    artifacts: Artifacts,
    folder: FolderReader,
    database: SinkDatabase,
    metrics: SinkMetrics,
    ask: Rows,
) -> None:
    """With title, attributes and vector; without unavailable items and a probe's."""
    catalogue = make_catalogue(12)
    catalogue.item_ids = [f"i{number:02}" for number in range(11)] + [f"{PROBE_MARK}x"]
    catalogue.attributes = some_attributes(12)
    catalogue.hidden = frozenset({3})
    generation_id = artifacts.publish(catalogue)

    look(folder, database, metrics, None)

    rows = ask("SELECT item_id, title, attributes, vector::text, generation FROM freshet.items")
    found = {row[0]: row[1:] for row in rows}
    assert sorted(map(str, found)) == [f"i{number:02}" for number in range(11) if number != 3]
    title, attributes, vector, shown = found["i05"]
    assert (title, shown) == ("Title 5 é", generation_id)
    assert attributes == {k: v for k, v in catalogue.attributes[5].items() if v}
    np.testing.assert_array_equal(
        np.array(str(vector).strip("[]").split(","), dtype=np.float32), catalogue.item_vectors[5]
    )


@pytest.mark.parametrize(("index", "least"), [("none", 1.0), ("hnsw", _RECALL)])
def test_sql_finds_what_an_exact_search_does(
    index: str,
    least: float,
    artifacts: Artifacts,
    folder: FolderReader,
    conninfo: str,
    metrics: SinkMetrics,
    ask: Rows,
) -> None:
    """By inner product of unit vectors, as servers rank."""
    catalogue = make_catalogue(2000, [f"query {number}" for number in range(30)])
    catalogue.item_ids = [f"i{number}" for number in range(2000)]
    artifacts.publish(catalogue)
    database = SinkDatabase(conninfo, index)
    look(folder, database, metrics, None)
    database.close()
    ask("SET hnsw.ef_search = 100")
    if index == "hnsw":
        ask("SET enable_seqscan = off")

    found = 0
    for vector in catalogue.query_vectors:
        exact = {f"i{item}" for item in catalogue.exact(vector, 10)}
        found += len(exact & {str(row[0]) for row in ask(_nearest(vector, 10))})

    explained = ask("EXPLAIN " + _nearest(catalogue.query_vectors[0], 10))
    plan = "".join(str(row[0]) for row in explained)
    assert ("Index Scan" in plan) == (index == "hnsw")
    assert found / (10 * len(catalogue.query_vectors)) >= least


def test_an_overlay_changes_what_readers_find(
    artifacts: Artifacts,
    folder: FolderReader,
    database: SinkDatabase,
    metrics: SinkMetrics,
    registry: CollectorRegistry,
    publisher_of: Publish,
    ask: Rows,
) -> None:
    """New items appear, moved ones move, gone and unavailable ones vanish; a sink that
    starts again finds nothing else to do.
    """
    catalogue = make_catalogue(6)
    catalogue.item_ids = [f"i{number}" for number in range(6)]
    generation_id = artifacts.publish(catalogue)
    written = look(folder, database, metrics, None)
    publisher, vectors = publisher_of(generation_id), _vectors("i1", "i2", "new")
    rows = overlay_rows(
        DIM,
        items=vectors,
        hidden=["i2"],
        gone_items=["i3"],
        attributes={"new": {"brand": "acme"}},
    )
    publisher.publish(rows, Claim(reflected_ms=NOW_MS, watermark_ms=NOW_MS))

    written = look(folder, database, metrics, written)

    assert [row[0] for row in ask(_IDS)] == ["i0", "i1", "i4", "i5", "new"]
    assert ask(_nearest(vectors["i1"], 1)) == [("i1",)]
    assert ask("SELECT title, attributes FROM freshet.items WHERE item_id = 'new'") == [
        ("new new", {"brand": "acme"})
    ]
    assert registry.get_sample_value("freshet_sink_items") == 5
    assert registry.get_sample_value("freshet_sink_watermark_timestamp_seconds") == NOW_MS / 1000
    before = registry.get_sample_value("freshet_sink_items_written_total", {"kind": "overlay"})

    look(folder, database, metrics, written)

    after = registry.get_sample_value("freshet_sink_items_written_total", {"kind": "overlay"})
    assert before == after == 2
    look(FolderReader(artifacts.store), database, metrics, None)
    assert [row[0] for row in ask(_IDS)] == ["i0", "i1", "i4", "i5", "new"]


def test_what_an_overlay_no_longer_says_is_the_generations_again(
    artifacts: Artifacts,
    folder: FolderReader,
    database: SinkDatabase,
    metrics: SinkMetrics,
    publisher_of: Publish,
    ask: Rows,
) -> None:
    """A refresher that starts again may say less: also to a sink that was away then."""
    catalogue = make_catalogue(4)
    catalogue.item_ids = [f"i{number}" for number in range(4)]
    generation_id = artifacts.publish(catalogue)
    rows = overlay_rows(DIM, items=_vectors("i1", "i2", "new"), hidden=["i2"])
    publisher_of(generation_id).publish(rows, Claim())
    look(folder, database, metrics, None)
    assert [row[0] for row in ask(_IDS)] == ["i0", "i1", "i3", "new"]

    publisher_of(generation_id).publish(overlay_rows(DIM, items=_vectors("i0")), Claim())
    look(FolderReader(artifacts.store), database, metrics, None)

    assert [row[0] for row in ask(_IDS)] == ["i0", "i1", "i2", "i3"]
    assert ask(_nearest(catalogue.item_vectors[1], 1)) == [("i1",)]


def test_every_statement_sees_one_generation(
    artifacts: Artifacts,
    folder: FolderReader,
    database: SinkDatabase,
    metrics: SinkMetrics,
    conninfo: str,
    ask: Rows,
) -> None:
    """While a reader asks without a pause, generations are swapped beneath it."""
    sizes: dict[str, int] = {}
    seen: set[tuple[str, int]] = set()
    over = Event()

    def read() -> None:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            query = "SELECT array_agg(DISTINCT generation), count(*) FROM freshet.items"
            while not over.is_set():
                ids, count = connection.execute(query).fetchall()[0]
                seen.add((",".join(ids), count))

    def publish(size: int) -> None:
        catalogue = make_catalogue(size, seed=size)
        sizes[artifacts.publish(catalogue)] = size
        wait_until(is_swapped, "the swap")

    def is_swapped() -> bool:
        try:
            look(folder, database, metrics, None)
        except SinkUnavailable:  # a reader that a busy machine stopped kept the view
            return False
        return True

    publish(40)
    reader = Thread(target=read)
    reader.start()
    try:
        wait_until(lambda: seen, "the reader sees the first generation")
        for size in (50, 60, 70, 80):
            publish(size)
            wait_until(lambda: len(seen) == len(sizes), "the reader sees the new generation")
    finally:
        over.set()
        reader.join()

    assert seen <= set(sizes.items())
    assert len(seen) == 5
    tables = ask("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'items\\_%'")
    assert tables == [(1,)]


def test_a_readers_transaction_delays_a_swap_and_breaks_nothing(
    artifacts: Artifacts,
    folder: FolderReader,
    database: SinkDatabase,
    metrics: SinkMetrics,
    conninfo: str,
    ask: Rows,
) -> None:
    """The sink does not wait in front of other readers; it tries again."""
    first = artifacts.publish(make_catalogue(5))
    look(folder, database, metrics, None)
    second = artifacts.publish(make_catalogue(6))
    with psycopg.connect(conninfo) as report:
        report.execute("SELECT count(*) FROM freshet.items").fetchall()
        with pytest.raises(SinkUnavailable, match=r"transaction keeps the view .*lock timeout"):
            look(folder, database, metrics, None)
        assert ask("SELECT DISTINCT generation FROM freshet.items") == [(first,)]

    look(folder, database, metrics, None)

    assert ask("SELECT DISTINCT generation FROM freshet.items") == [(second,)]


def test_a_second_sink_is_refused(conninfo: str, database: SinkDatabase) -> None:
    """Two would write over each other."""
    with pytest.raises(SinkRefused, match="another sink writes to this database"):
        SinkDatabase(conninfo, "hnsw")


def test_a_database_that_goes_away_is_followed_again(
    artifacts: Artifacts, metrics: SinkMetrics, registry: CollectorRegistry
) -> None:
    """Failures are counted, the database counts as behind, and what came meanwhile is
    there at the end.
    """
    artifacts.publish(make_catalogue(5))
    stop = Event()

    def sample(name: str, **labels: str) -> float:
        return registry.get_sample_value(f"freshet_sink_{name}", labels) or 0.0

    with LocalPostgres() as server:
        conninfo = server.create("shop")
        sink = Thread(
            target=run_sink,
            args=(
                FolderReader(artifacts.store),
                lambda: SinkDatabase(conninfo, "none"),
                metrics,
                0.05,
                stop,
            ),
        )
        sink.start()
        try:
            wait_until(lambda: sample("items") == 5, "the first generation")
            server.kill()
            wait_until(
                lambda: sample("failures_total", reason="SinkUnavailable") > 0, "a failed look"
            )
            newest = artifacts.publish(make_catalogue(7))
            behind = sample("behind_seconds")
            wait_until(lambda: sample("behind_seconds") > behind > 0, "it falls behind")
            server.start()
            wait_until(lambda: sample("items") == 7, "the second generation")
        finally:
            stop.set()
            sink.join()
        with psycopg.connect(conninfo) as connection:
            rows = connection.execute("SELECT DISTINCT generation FROM freshet.items").fetchall()
    assert rows == [(newest,)]
