"""A restore of a backup from before an erasure does not bring the erased back."""

from pathlib import Path

import pytest

from protos.text import text_key
from stream.backup.create import create_backup
from stream.backup.repository import Backups
from stream.backup.restore import restored_store
from stream.changes.erasure.erase import erase, lift
from stream.clock import now_ms
from stream.errors import BackupDamaged
from stream.events.types import Erasure
from stream.reading.reader import open_graph
from stream.settings import StreamSettings
from stream.store.checkpoints import NotedErasure
from stream.store.store import Store
from testing.histories import NOON_MS, apply_all, event, graph_hash
from tests.stream.backup.conftest import BackUp, Restore

ASKED_MS = NOON_MS + 1000


@pytest.fixture
def root(tmp_path: Path, settings: StreamSettings) -> Path:
    """A store of two shards with two users' sessions in both."""
    with Store.create_or_open(tmp_path / "store", settings, 2) as store:
        apply_all(
            store,
            [
                event(f"s-{n}", f"query {n}", f"i-{n}", NOON_MS + n, user_id=f"u-{n % 2}")
                for n in range(40)
            ],
        )
    return tmp_path / "store"


def erase_here(root: Path, settings: StreamSettings, user: str) -> None:
    """Erase a user in every shard of a store."""
    with Store.create_or_open(root, settings) as store:
        for index in range(store.num_shards):
            erase(store.shard(index), [Erasure(kind="user", id=user, ts_ms=ASKED_MS)], now_ms())


def facts(root: Path, settings: StreamSettings) -> int:
    """Return how many facts a store has."""
    with open_graph(root, settings) as graph:
        return graph.stats().facts


def bytes_in(root: Path, text: str) -> list[str]:
    """Return the files of a store that have a text in them."""
    return [
        path.name
        for path in root.rglob("*")
        if path.is_file() and text.encode() in path.read_bytes()
    ]


def test_what_a_later_backup_knows_to_be_erased_is_erased(
    root: Path, back_up: BackUp, restore: Restore, settings: StreamSettings, tmp_path: Path
) -> None:
    """The restored store is the one without the user, in its bytes too, and its audit
    says so.
    """
    before = back_up().backup
    erase_here(root, settings, "u-1")
    back_up()
    outcome = restore("other", before.backup_id)

    assert (outcome.num_erased, outcome.num_erased_facts) == (1, 20)
    assert facts(tmp_path / "other", settings) == 20
    assert graph_hash(tmp_path / "other", settings) == graph_hash(root, settings)
    with open_graph(tmp_path / "other", settings) as graph:
        asked = {each.asked_ms for _, shard in graph.shards() for each in shard.tombstones()}
    assert ASKED_MS in asked
    with Store.create_or_open(tmp_path / "other", settings) as store:
        apply_all(store, [event("s-1", "query 1", "i-1", NOON_MS + 1, user_id="u-1")], offset=2)
    assert facts(tmp_path / "other", settings) == 20


def test_its_bytes_are_gone_from_the_restored_files(
    tmp_path: Path, settings: StreamSettings, backups: Backups
) -> None:
    """What is erased again is purged before the store is put in place."""
    root = tmp_path / "store"
    with Store.create_or_open(root, settings) as store:
        apply_all(store, [event("s-1", "unmistakable", "i-1", NOON_MS, user_id="u-1")])
        apply_all(store, [event("s-2", "radio", "i-2", NOON_MS, user_id="u-2")])
    before = create_backup(backups, root, settings, now_ms).backup
    backups.note_erasure(
        NotedErasure(kind="user", key=f"{text_key('u-1'):016x}", asked_ms=ASKED_MS)
    )
    with restored_store(backups, before, tmp_path / "other", settings, now_ms()):
        pass

    assert bytes_in(root, "unmistakable")
    assert not bytes_in(tmp_path / "other", "unmistakable")


def test_what_was_noted_by_hand_is_erased_without_a_later_backup(
    root: Path,
    back_up: BackUp,
    restore: Restore,
    backups: Backups,
    settings: StreamSettings,
    tmp_path: Path,
) -> None:
    """The disk may be lost before the next backup."""
    back_up()
    noted = NotedErasure(kind="user", key=f"{text_key('u-0'):016x}", asked_ms=ASKED_MS)
    backups.note_erasure(noted)
    assert restore("other").num_erased == 1
    assert facts(tmp_path / "other", settings) == 20
    backups.forget_erasure(noted)
    assert restore("lifted").num_erased == 0
    assert facts(tmp_path / "lifted", settings) == 40


def test_what_was_lifted_since_is_not_erased_again(
    root: Path, back_up: BackUp, restore: Restore, settings: StreamSettings
) -> None:
    """The newest backup knows what holds."""
    first = back_up().backup
    erase_here(root, settings, "u-1")
    back_up()
    with Store.create_or_open(root, settings) as store:
        for index in range(store.num_shards):
            lift(store.shard(index), "user", "u-1", now_ms())
    back_up()

    assert restore("other", first.backup_id).num_erased == 0


def test_what_is_erased_in_the_backup_itself_stays_so(
    root: Path, back_up: BackUp, restore: Restore, settings: StreamSettings, tmp_path: Path
) -> None:
    """The audit is in the shards."""
    erase_here(root, settings, "u-1")
    back_up()

    assert restore("other").num_erased == 0
    assert facts(tmp_path / "other", settings) == 20
    with open_graph(tmp_path / "other", settings) as graph:
        keys = {each.key for _, shard in graph.shards() for each in shard.tombstones()}
    assert text_key("u-1") in keys


def test_a_restore_does_not_guess_what_was_erased_since(
    root: Path, back_up: BackUp, restore: Restore, settings: StreamSettings, tmp_path: Path
) -> None:
    """Where the newest backup cannot be read, an older one is not restored without a
    word.
    """
    before = back_up().backup
    erase_here(root, settings, "u-1")
    later = back_up().backup
    (known,) = later.files_of("erasures")
    (tmp_path / "backups" / "files" / known.sha256).write_bytes(b"{")

    with pytest.raises(BackupDamaged, match="what was erased after backup"):
        restore("other", before.backup_id)
