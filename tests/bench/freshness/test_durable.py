"""What is durable, as it is seen from outside."""

import time
from contextlib import closing
from pathlib import Path

from bench.freshness.durable import DurableWatch
from bench.freshness.probes import DURABLE
from bench.freshness.sightings import Published
from testing.small_shop import fill_store, shop_events, shop_items


def test_an_item_is_durable_once_the_graph_names_it(tmp_path: Path) -> None:
    """One of the store is found; one that never came is given up."""
    fill_store(tmp_path / "store", shop_events(20), shop_items())
    now = time.time()
    with closing(DurableWatch(tmp_path / "store", timeout_seconds=600.0)) as watch:
        found = watch.follow(shop_events(1)[0].item_id, Published(sent=now, acknowledged=now))
        missing = watch.follow("never", Published(sent=now - 600.0, acknowledged=now))

    assert found.figure == missing.figure == DURABLE
    assert found.seen is not None
    assert missing.seen is None


def test_a_store_that_is_not_there_shows_nothing(tmp_path: Path) -> None:
    """A shard that is just changing hands must not end the measurement."""
    now = time.time()
    with closing(DurableWatch(tmp_path / "store", timeout_seconds=0.2)) as watch:
        missing = watch.follow("any", Published(sent=now, acknowledged=now))

    assert missing.seen is None
