"""What is durable, as it is seen from outside."""

import time
from contextlib import closing
from pathlib import Path

from bench.freshness.durable import DurableWatch
from bench.freshness.probes import DURABLE
from bench.freshness.sightings import Published
from stream.settings import StreamSettings
from stream.store.store import Store
from testing.histories import apply_events
from testing.small_shop import click


def test_an_item_is_durable_once_the_store_tells_of_it(tmp_path: Path) -> None:
    """One that comes meanwhile is found; one that never does is given up."""
    root, now = tmp_path / "store", time.time()
    with (
        Store.create_or_open(root, StreamSettings()) as store,
        closing(DurableWatch(root, timeout_seconds=600.0)) as watch,
    ):
        for item_id in ("new", "never"):
            watch.expect(item_id)
        apply_events(store.shard(0), [click(0, "a", "lamp", "new")])
        found = watch.follow("new", Published(sent=now, acknowledged=now))
        missing = watch.follow("never", Published(sent=now - 600.0, acknowledged=now))

    assert found.figure == missing.figure == DURABLE
    assert found.seen is not None
    assert missing.seen is None


def test_a_store_that_is_not_there_tells_nothing(tmp_path: Path) -> None:
    """The measurement does not end with an error."""
    now = time.time()
    with closing(DurableWatch(tmp_path / "store", timeout_seconds=0.2)) as watch:
        watch.expect("any")
        missing = watch.follow("any", Published(sent=now, acknowledged=now))

    assert missing.seen is None
