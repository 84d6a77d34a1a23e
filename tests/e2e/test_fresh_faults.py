"""What goes wrong around a refresher: answers stay right, the age grows, the reason is
told. Of a real store and feed, by a real refresher and server.
"""

import math
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from shutil import copytree, rmtree

import pytest
from prometheus_client import CollectorRegistry

from freshet.diagnosis.processes import ProcessStatus, Targets
from freshet.diagnosis.status import read_status
from freshet.probe import Addresses
from freshet_client import RetrievalClient
from model.artifact.overlay.wanted import EarlyReason, asked
from stream.events.types import CatalogItem
from stream.feed.folder import feed_root
from testing.refresher.shop_lane import ShopLane, ids_of
from testing.retrieval_server import wait_until
from testing.small_shop import click, shop_events, shop_items

ROOT = Path(__file__).resolve().parent.parent.parent
NEW = CatalogItem(item_id="lamp-pack", title="Amber Backpack Lamp")


def wait_for(client: RetrievalClient, since_ms: int) -> None:
    """Wait until answers claim everything up to then."""
    wait_until(
        lambda: client.retrieve("red lamp", 1).receipt.reflected_ms >= since_ms,
        "answers have what was written",
    )


def is_behind(registry: CollectorRegistry, reason: str) -> bool:
    """Return whether a refresher says that it is behind for a reason."""
    return any(
        sample.labels.get("reason") == reason and sample.value == 1
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "freshet_refresh_behind_info"
    )


@contextmanager
def process(lane: ShopLane, metrics: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run `freshet refresh` as a process while inside."""
    arguments = ["--store", lane.store, "--artifacts", lane.root / "artifacts"]
    arguments += ["--metrics", metrics, "--every", "0.1s"]
    running = subprocess.Popen(
        [sys.executable, "-m", "freshet", "refresh", *map(str, arguments)],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield running
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(120)


def status_at(metrics: str) -> ProcessStatus:
    """Return what `freshet status` shows of a refresher."""
    nobody = "127.0.0.1:1"
    at = Addresses(stream=nobody, tuner=nobody, refresher=metrics, server=nobody, target=nobody)
    return next(each for each in read_status(Targets.of(at)) if each.name == "refresher")


def test_a_disk_that_takes_nothing_is_told_and_nothing_is_lost(
    lane: ShopLane, free_port: Callable[[], int]
) -> None:
    """No file may grow any more: answers are as they were, and what came meanwhile is
    in them once it may.
    """
    metrics = f"127.0.0.1:{free_port()}"
    with process(lane, metrics) as refresher, lane.serving() as client:
        wait_for(client, lane.write([]))
        before = client.retrieve("red lamp", 10)
        resource.prlimit(refresher.pid, resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
        written = lane.write([], [NEW])
        told = "the largest size of a file is reached"
        wait_until(lambda: told in status_at(metrics).problem, "the status says so")
        meanwhile = client.retrieve("red lamp", 10)
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(refresher.pid, resource.RLIMIT_FSIZE, unlimited)
        wait_for(client, written)
        after = client.retrieve(NEW.title, 5)

    assert ids_of(meanwhile) == ids_of(before)
    assert meanwhile.receipt.reflected_ms < written
    assert ids_of(after)[0] == "lamp-pack"


def test_killed_again_and_again_nothing_goes_back(
    lane: ShopLane, free_port: Callable[[], int]
) -> None:
    """Six times with -9, whatever it does just then: no answer fails, no receipt claims
    less than one before it, and in the end everything is there.
    """
    metrics, claims, written = f"127.0.0.1:{free_port()}", list[int](), 0
    with lane.serving() as client:
        for number in range(6):
            with process(lane, metrics) as refresher:
                for step in range(number + 1):
                    item = CatalogItem(item_id=f"i-{number}-{step}", title=f"Lamp {number} {step}")
                    written = lane.write([], [item])
                    claims.append(client.retrieve("red lamp", 3).receipt.reflected_ms)
                wait_until(lambda: status_at(metrics).facts.get("sequence"), "it publishes")
                refresher.kill()
            claims.append(client.retrieve("red lamp", 3).receipt.reflected_ms)
        with lane.refreshing():
            wait_for(client, written)
            claims.append(client.retrieve("red lamp", 3).receipt.reflected_ms)
            found = ids_of(client.retrieve("lamp", 100))

    assert claims == sorted(claims)
    assert {f"i-{number}-{step}" for number in range(6) for step in range(number + 1)} <= set(found)


def test_a_shard_that_goes_back_to_a_checkpoint_is_counted_once(lane: ShopLane) -> None:
    """Another worker took an old copy over, and reads the same records again: the
    overlay is that of a shop where nothing was lost.
    """
    shard, copy = lane.store / "shard-0000", lane.root / "old"
    items = ["scarf-violet"] * 4 + ["kettle-red"] * 4
    rest = [click(10**9 + n, f"s-{n}", "xylotrim", item) for n, item in enumerate(items)]
    with lane.refreshing() as registry, lane.serving() as client:
        wait_for(client, lane.write(rest[:4]))
        copytree(shard, copy)
        wait_for(client, lane.write(rest[4:]))
        before = client.retrieve("xylotrim", 30)
        rmtree(shard)
        copy.rename(shard)
        wait_for(client, lane.write(rest[4:]))
        after = client.retrieve("xylotrim", 30)
        rounds = registry.get_sample_value("freshet_refresh_failures_total") or 0

    assert rounds == 0
    assert [hit.item_id for hit in after.hits] == [hit.item_id for hit in before.hits]
    scores = [hit.score for hit in before.hits]
    assert [hit.score for hit in after.hits] == pytest.approx(scores, abs=1e-4)
    assert after.receipt.reflected_ms > before.receipt.reflected_ms


def test_a_shard_that_moves_to_another_machine_goes_on(tmp_path: Path) -> None:
    """The refresher follows the feed beside the checkpoints, whoever writes it."""
    first = ShopLane(root=tmp_path, checkpoints=str(tmp_path / "kept"))
    first.write(shop_events(300), shop_items())
    first.train()
    (tmp_path / "elsewhere").mkdir()
    second = replace(first, root=tmp_path / "elsewhere")
    with first.refreshing(), first.serving() as client:
        wait_for(client, first.write([], [NEW]))
        written = second.write([click(10**9, "moved", "xylotrim", "scarf-violet")])
        wait_for(client, written)
        by_title, by_query = client.retrieve(NEW.title, 5), client.retrieve("xylotrim", 5)

    assert ids_of(by_title)[0] == "lamp-pack"
    assert ids_of(by_query)[0] == "scarf-violet"


def test_a_feed_that_lost_its_logs_is_mended_by_the_next_generation(lane: ShopLane) -> None:
    """Nothing is claimed meanwhile, a generation is asked for, and then all goes on."""
    with lane.serving() as client:
        lane.write([click(10**9, "lost", "xylotrim", "scarf-violet")])
        for log in feed_root(lane.store).rglob("*.log"):
            log.unlink()
        with lane.refreshing() as registry:
            wait_until(lambda: is_behind(registry, "gap"), "the gap is told")
            age = registry.get_sample_value("freshet_refresh_age_seconds")
            wish = asked(lane.root / "artifacts")
            meanwhile = client.retrieve("red lamp", 3)
            lane.train()
            written = lane.write([], [NEW])
            wait_for(client, written)
            after = client.retrieve(NEW.title, 5)
            # It is told a moment after what was published is served.
            wait_until(lambda: not is_behind(registry, "gap"), "the gap is over")

    assert age is not None
    assert math.isnan(age)
    assert wish is not None
    assert wish.reason is EarlyReason.FEED_GAP
    assert meanwhile.hits
    assert meanwhile.receipt.reflected_ms == 0
    assert ids_of(after)[0] == "lamp-pack"


def test_a_burst_is_taken_in_by_bounded_rounds(lane: ShopLane) -> None:
    """Twenty thousand clicks at once, a thousand a round: in the end all are there."""
    events = [
        click(10**9 + n, f"b-{n}", f"query {n % 500}", "lamp-red" if n % 2 else "mug-blue")
        for n in range(20_000)
    ]
    with lane.refreshing(max_round_changes=1000) as registry, lane.serving() as client:
        for start in range(0, len(events), 500):
            written = lane.write(events[start : start + 500])
        wait_for(client, written)
        odd, even = (ids_of(client.retrieve(f"query {n}", 30)) for n in (7, 8))

    rounds = registry.get_sample_value("freshet_refresh_rounds_total")
    assert rounds is not None
    assert rounds >= 20
    assert odd.index("lamp-red") < odd.index("mug-blue")
    assert even.index("mug-blue") < even.index("lamp-red")
    assert registry.get_sample_value("freshet_refresh_waiting_changes") == 0


def test_after_a_rollback_the_older_generation_is_as_fresh(lane: ShopLane) -> None:
    """As `freshet generations use` does it: at once, and with what came since."""
    first = lane.artifacts.current_id()
    with lane.refreshing(), lane.serving() as client:
        wait_for(client, lane.write([], [NEW]))
        second = lane.train()
        wait_until(lambda: client.retrieve("mug").receipt.generation == second, "it is live")
        written = lane.write([click(10**9, "s", "xylotrim", "scarf-violet")])
        wait_for(client, written)
        use = ["generations", "use", str(first), "--artifacts", str(lane.root / "artifacts")]
        subprocess.run(
            [sys.executable, "-m", "freshet", *use],
            cwd=ROOT,
            check=True,
            env={**os.environ},
            stdout=subprocess.DEVNULL,
        )
        wait_until(lambda: client.retrieve("mug").receipt.generation == first, "it is back")
        wait_for(client, written)
        by_title, by_query = client.retrieve(NEW.title, 5), client.retrieve("xylotrim", 5)

    assert by_title.receipt.generation == by_query.receipt.generation == first
    assert ids_of(by_title)[0] == "lamp-pack"
    assert ids_of(by_query)[0] == "scarf-violet"
