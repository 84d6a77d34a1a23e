"""Whoever sees receipt R sees every event that R claims: a real server, a writer that
publishes what is known, and an oracle outside of both.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from model.artifact.overlay.folder import OverlayFolder
from model.artifact.overlay.gone import GoneList
from model.artifact.overlay.publisher import OverlayPublisher
from model.artifact.overlay.segment import Claim
from stream.dtypes import Float32s
from testing.overlays import overlay_rows, random_units
from testing.retrieval_server import RunningServer, Serve, wait_until
from testing.small_generations import DIM, NOW_MS, Artifacts, make_catalogue

STEPS = 120
"""Events of a run: some twenty generations, a dozen restarts and as many damages."""


@dataclass
class Oracle:
    """The events that happened, by their broker time."""

    events: list[tuple[int, str, bool]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def happened(self, at_ms: int, item: str, *, is_listed: bool) -> None:
        """Record an event, before anything is published of it."""
        with self.lock:
            self.events.append((at_ms, item, is_listed))

    def problems(self, reflected_ms: int, items: set[str]) -> list[str]:
        """Return what an answer lacks or has against its receipt.

        Called after the answer: what happened since may be in it, or not.
        """
        with self.lock:
            events = list(self.events)
        claimed = {item: is_listed for at, item, is_listed in events if at <= reflected_ms}
        later = {(item, is_listed) for at, item, is_listed in events if at > reflected_ms}
        return [
            f"{item} is {'missing' if is_listed else 'there'} at {reflected_ms}"
            for item, is_listed in claimed.items()
            if (item in items) != is_listed and (item, not is_listed) not in later
        ]


@dataclass
class Writer:
    """Makes events, generations and overlays, and breaks some of them on the way."""

    artifacts: Artifacts
    oracle: Oracle
    random: np.random.Generator
    now_ms: int = NOW_MS
    history: list[tuple[str, Float32s | None]] = field(default_factory=list)
    in_generation: int = 0
    publishers: dict[str, OverlayPublisher] = field(default_factory=dict)

    @property
    def folder(self) -> OverlayFolder:
        """The overlays."""
        return OverlayFolder.of(self.artifacts.root)

    def shop(self, num_events: int | None = None) -> dict[str, Float32s]:
        """Return the vectors of what is listed after so many events; None: all."""
        last = dict(self.history[:num_events])
        return {item: vector for item, vector in last.items() if vector is not None}

    def event(self) -> None:
        """List, move or delete an item."""
        self.now_ms += 1
        listed = sorted(self.shop())
        is_listed = not listed or self.random.random() < 0.7
        is_new = not listed or (is_listed and self.random.random() < 0.6)
        item = f"item {self.now_ms}" if is_new else listed[self.random.integers(len(listed))]
        self.oracle.happened(self.now_ms, item, is_listed=is_listed)
        vector = random_units(self.random, 1, DIM)[0] if is_listed else None
        self.history.append((item, vector))

    def train(self, *, behind: int) -> str:
        """Publish a generation of the shop as it was so many events ago."""
        self.in_generation = max(1, len(self.history) - behind)
        shop = self.shop(self.in_generation)
        catalogue = make_catalogue(len(shop), ["lamp"])
        catalogue.item_ids = list(shop)
        if shop:
            catalogue.item_vectors = np.stack(list(shop.values()))
        catalogue.created_ms = self.now_ms
        catalogue.taken_ms = NOW_MS + self.in_generation
        generation_id = self.artifacts.publish(catalogue)
        self.restart(generation_id)
        return generation_id

    def restart(self, generation_id: str) -> None:
        """Begin to write for a generation, as a refresher that was started again."""
        self.publishers[generation_id] = OverlayPublisher(
            self.folder,
            generation_id,
            DIM,
            GoneList(self.folder.gone_path),
            clock_ms=lambda: self.now_ms,
        )

    def publish(self, generation_id: str, reflected_ms: int) -> Path:
        """Publish all that changed since a generation; return the segment.

        Now and then clicks wait, which none of these events is: then the catalogue
        alone is claimed.
        """
        last = dict(self.history[self.in_generation :])
        rows = overlay_rows(
            DIM,
            items={item: vector for item, vector in last.items() if vector is not None},
            gone_items=[item for item, vector in last.items() if vector is None],
        )
        publisher = self.publishers[generation_id]
        late_ms = int(self.random.integers(4)) if self.random.random() < 0.5 else 0
        claim = Claim(reflected_ms=reflected_ms - late_ms, catalog_reflected_ms=reflected_ms)
        segment = publisher.publish(rows, claim)
        return self.folder.segment_path(generation_id, segment.sequence)


@contextmanager
def asking(server: RunningServer, oracle: Oracle, problems: list[str]) -> Iterator[list[int]]:
    """Ask all the time, check each answer; yield the receipts' times in order."""
    done, seen = threading.Event(), list[int]()

    def ask() -> None:
        with server.client() as client:
            while not done.is_set():
                answer = client.retrieve("lamp", 1000)
                receipt = answer.receipt
                items = {hit.item_id for hit in answer.hits}
                problems.extend(oracle.problems(receipt.catalog_reflected_ms, items))
                if receipt.reflected_ms > receipt.catalog_reflected_ms:
                    problems.append(f"{receipt} claims less of the catalogue than of all")
                seen.append(receipt.catalog_reflected_ms)

    def run() -> None:
        try:
            ask()
        except Exception as error:  # noqa: BLE001  # the test shows it
            problems.append(repr(error))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def wait_for_answers(seen: list[int], problems: list[str], count: int) -> None:
    """Wait for so many more answers, or for a problem."""
    since = len(seen)
    wait_until(lambda: len(seen) >= since + count or problems, "more answers")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_answer_has_every_event_that_its_receipt_claims(
    artifacts: Artifacts, serve: Serve, seed: int
) -> None:
    """While generations, overlays, restarts and damaged segments come in any order: no
    event is missing, none that was deleted is back, and no receipt goes back.
    """
    oracle, random = Oracle(), np.random.default_rng(seed)
    writer = Writer(artifacts, oracle, random)
    writer.event()
    generation_id = writer.train(behind=0)
    server = serve(overlay_wait_seconds=1000.0)
    problems: list[str] = []
    with asking(server, oracle, problems) as seen, server.client() as client:
        for step in range(STEPS):
            writer.event()
            if step % 7 == 6:
                generation_id = writer.train(behind=int(random.integers(6)))
                # Long enough, now and then, for the server to load it without overlay.
                wait_for_answers(seen, problems, int(random.integers(1, 90)))
                writer.event()
            if step % 11 == 10:
                writer.restart(generation_id)
            path = writer.publish(generation_id, writer.now_ms)
            if step % 10 == 9:
                # A server that was not quicker refuses it, and waits for the next.
                path.unlink()
                path.write_bytes(b"torn")
                writer.restart(generation_id)
                writer.publish(generation_id, writer.now_ms)
            wait_for_answers(seen, problems, 1)
        last = writer.now_ms
        writer.publishers[generation_id].renew(Claim(reflected_ms=last))
        wait_until(
            lambda: problems or client.retrieve("lamp", 1000).receipt.reflected_ms == last,
            "the last event is reflected",
        )
        answer = client.retrieve("lamp", 1000, min_reflected_ms=last)

    assert problems == []
    assert seen == sorted(seen)
    assert len(set(seen)) > 3
    assert {hit.item_id for hit in answer.hits} == set(writer.shop())
