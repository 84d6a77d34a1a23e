"""The whole shop restored on an empty disk: real server, refresher, store and feed."""

from pathlib import Path
from shutil import rmtree

from freshet.backup.generations import artifacts_copies, restored_artifacts
from freshet_client import RetrievalClient
from model.artifact.overlay.wanted import EarlyReason
from stream.backup.create import create_backup
from stream.backup.repository import Backups
from stream.backup.restore import restored_store
from stream.clock import now_ms
from stream.events.types import CatalogItem
from testing.refresher.shop_lane import ShopLane, ids_of
from testing.retrieval_server import wait_until
from testing.small_shop import click

NEW = CatalogItem(item_id="lamp-pack", title="Amber Backpack Lamp")


def wait_for_answers(client: RetrievalClient, since_ms: int) -> None:
    """Wait until answers have all that was applied by then."""
    wait_until(
        lambda: client.retrieve("blue mug").receipt.reflected_ms >= since_ms,
        "answers are as fresh",
    )


def test_a_restored_shop_answers_as_it_did_and_is_fresh_with_its_next_generation(
    lane: ShopLane, tmp_path: Path
) -> None:
    """What a refresher had published since the generation is in answers at once, and no
    receipt goes back; the refresher, whose feed is lost, asks for a generation.
    """
    with lane.refreshing(), lane.serving() as client:
        wait_for_answers(client, lane.write([], [NEW]))
    backups, artifacts = Backups(str(tmp_path / "backups")), lane.root / "artifacts"
    with artifacts_copies(artifacts, lane.store, is_live_only=True) as copies:
        create_backup(backups, lane.store, lane.settings, now_ms, artifacts=copies)
    rmtree(lane.root)
    backup = backups.newest()
    with (
        restored_store(backups, backup, lane.store, lane.settings, now_ms()),
        restored_artifacts(backups, backup, artifacts),
    ):
        pass

    with lane.serving() as client:
        answer = client.retrieve(NEW.title)
        assert ids_of(answer)[0] == NEW.item_id
        with lane.refreshing() as metrics:
            clicks = [click(10**9 + n, f"s-{n}", "blue mug", "kettle-amber") for n in range(40)]
            written = lane.write(clicks)
            wanted = {"reason": str(EarlyReason.FEED_GAP)}
            wait_until(
                lambda: metrics.get_sample_value("freshet_refresh_wanted_total", wanted),
                "a generation is wanted",
            )
            assert client.retrieve(NEW.title).receipt.reflected_ms >= answer.receipt.reflected_ms
            lane.train()
            wait_for_answers(client, written)
            assert ids_of(client.retrieve(NEW.title))[0] == NEW.item_id
