"""An artifacts folder, its refresher, and a real PostgreSQL with pgvector."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest
from prometheus_client import CollectorRegistry

from model.artifact.overlay.folder import OverlayFolder
from model.artifact.overlay.gone import GoneList
from model.artifact.overlay.publisher import OverlayPublisher
from model.sink.database import SinkDatabase
from model.sink.folder import FolderReader
from model.sink.metrics import SinkMetrics
from testing.processes.postgres import LocalPostgres
from testing.small_generations import DIM, Artifacts

_numbers = count()
Publish = Callable[[str], OverlayPublisher]
Rows = Callable[[str], list[tuple[object, ...]]]


@pytest.fixture(scope="session")
def postgres() -> Iterator[LocalPostgres]:
    """A server for the whole run."""
    with LocalPostgres() as server:
        yield server


@pytest.fixture
def conninfo(postgres: LocalPostgres) -> str:
    """A database of the test's own."""
    return postgres.create(f"shop_{next(_numbers)}")


@pytest.fixture
def database(conninfo: str) -> Iterator[SinkDatabase]:
    """The sink's connection to it."""
    opened = SinkDatabase(conninfo, "hnsw")
    yield opened
    opened.close()


@pytest.fixture
def ask(conninfo: str) -> Iterator[Rows]:
    """A function that asks the database as a reader does, in its own connection."""
    with psycopg.connect(conninfo, autocommit=True) as connection:

        def run(query: str) -> list[tuple[object, ...]]:
            cursor = connection.execute(query.encode())
            return cursor.fetchall() if cursor.description else []

        yield run


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    """An empty artifacts folder."""
    return Artifacts(tmp_path / "artifacts")


@pytest.fixture
def folder(artifacts: Artifacts) -> FolderReader:
    """The sink's reader of it."""
    return FolderReader(artifacts.store)


@pytest.fixture
def publisher_of(artifacts: Artifacts) -> Publish:
    """A function that returns the refresher's publisher of a generation."""
    overlays = OverlayFolder.of(artifacts.root)

    def publisher(generation_id: str) -> OverlayPublisher:
        gone = GoneList(overlays.gone_path)
        return OverlayPublisher(overlays, generation_id, DIM, gone)

    return publisher


@pytest.fixture
def registry() -> CollectorRegistry:
    """The registry of the sink's metrics."""
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> SinkMetrics:
    """The sink's metrics."""
    return SinkMetrics(registry)
