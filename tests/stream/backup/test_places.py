"""Places that fail: full, unreachable, used by two at once, left by one that was
killed; and folders that cannot be restored into.
"""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from stream.backup import claim, placing
from stream.backup.create import create_backup
from stream.backup.files import BackupFiles
from stream.backup.repository import Backups
from stream.backup.restore import restored_store
from stream.backup.writer import BackupWriter, writing
from stream.clock import now_ms
from stream.errors import (
    BackupBusy,
    BackupMismatch,
    BackupsUnavailable,
    RestoreRefused,
    SettingsInvalid,
    StoreMissing,
)
from stream.settings import StreamSettings
from stream.store.store import Store
from testing.processes.owner import check_whole
from tests.stream.backup.conftest import BackUp, Grow, Restore

ROOT = Path(__file__).resolve().parents[3]
CREATE = """
import sys
from pathlib import Path
from stream.backup import repository, writer
from stream.backup.create import create_backup
from stream.clock import now_ms
from stream.settings import StreamSettings

def stop(self, backup):
    print("files are there", flush=True)
    sys.stdin.read()

writer.BackupWriter.publish = stop
create_backup(repository.Backups(sys.argv[1]), Path(sys.argv[2]), StreamSettings(), now_ms)
"""


@pytest.fixture
def stopped(tmp_path: Path, url: str, grow: Grow) -> Any:
    """A backup as a process of its own, that stops before its manifest."""
    grow(10)
    process = subprocess.Popen(
        [sys.executable, "-c", CREATE, url, str(tmp_path / "store")],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "files are there\n"
    yield process
    process.kill()
    process.communicate()


def test_a_killed_backup_is_none_and_the_next_one_uses_its_files(
    stopped: "subprocess.Popen[str]",
    back_up: BackUp,
    backups: Backups,
    restore: Restore,
    tmp_path: Path,
) -> None:
    """Killed half-way, it leaves no manifest, and no claim that anybody waits for."""
    stopped.kill()
    stopped.wait()
    assert backups.ids() == []
    files = set((tmp_path / "backups" / "files").iterdir())
    made = back_up()

    assert made.num_bytes_new < made.backup.num_bytes
    assert files & set((tmp_path / "backups" / "files").iterdir())
    restore("other")
    check_whole(tmp_path / "other", 10)


def test_what_only_a_killed_backup_had_goes_with_the_next_pruning(
    stopped: "subprocess.Popen[str]", grow: Grow, back_up: BackUp, backups: Backups
) -> None:
    """Nobody pays for ever for what no backup has."""
    stopped.kill()
    stopped.wait()
    grow(1)
    backup = back_up().backup
    with writing(backups) as writer:
        pruned = writer.prune(keep=1, oldest_ms=None)

    assert pruned.backup_ids == ()
    assert pruned.num_files > 0
    assert set(backups.objects.sizes("files")) == {file.sha256 for file in backup.files}


def test_of_two_at_once_the_second_gives_way(
    stopped: "subprocess.Popen[str]", back_up: BackUp, backups: Backups
) -> None:
    """It says who is at work, and leaves the other's claim alone."""
    with pytest.raises(BackupBusy, match=rf"pid {stopped.pid} on "):
        back_up()
    assert len(backups.objects.sizes("running")) == 1
    stopped.kill()
    stopped.wait()
    back_up()


def test_a_claim_of_another_machine_is_a_dead_ones_after_two_minutes(
    grow: Grow, back_up: BackUp, backups: Backups
) -> None:
    """Whether a process of another machine lives, its renewals say."""
    grow(1)

    def claim_of(age_ms: int) -> bytes:
        return msgspec.json.encode(
            {
                "host": "elsewhere",
                "machine": "another",
                "process": 1,
                "since_ms": now_ms() - 3_600_000,
                "renewed_ms": now_ms() - age_ms,
            }
        )

    backups.objects.write("running/1.json", claim_of(60_000))
    with pytest.raises(BackupBusy, match="pid 1 on elsewhere"):
        back_up()
    backups.objects.write("running/1.json", claim_of(130_000))
    back_up()

    assert backups.objects.sizes("running") == {}


def test_one_that_was_taken_for_dead_makes_nothing_that_counts(
    grow: Grow, back_up: BackUp, backups: Backups, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that stood still for minutes finds its claim gone, and ends."""
    grow(1)
    publish = BackupWriter.publish

    def sleep_first(self: BackupWriter, backup: Any) -> None:
        for name in backups.objects.sizes("running"):
            backups.objects.remove(f"running/{name}")
        publish(self, backup)

    monkeypatch.setattr(BackupWriter, "publish", sleep_first)
    with pytest.raises(BackupBusy, match="stood still"):
        back_up()
    assert backups.ids() == []


def test_a_file_that_another_removed_meanwhile_unmakes_the_backup(
    grow: Grow, back_up: BackUp, backups: Backups, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was pruned between its upload and the manifest is missed at once."""
    grow(1)
    put = BackupWriter.put_files

    def lose_one(self: BackupWriter, *arguments: Any) -> Any:
        outcome = put(self, *arguments)
        if outcome.files:
            backups.objects.remove(f"files/{outcome.files[-1].sha256}")
        return outcome

    monkeypatch.setattr(BackupWriter, "put_files", lose_one)
    with pytest.raises(BackupBusy, match="were removed"):
        back_up()
    assert backups.ids() == []


def test_a_claim_is_renewed_while_it_is_held(
    backups: Backups, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup that takes hours is not taken for dead."""
    monkeypatch.setattr(claim, "_RENEW_SECONDS", 0.01)

    def renewed_ms() -> int:
        (name,) = backups.objects.sizes("running")
        found: int = msgspec.json.decode(backups.objects.read(f"running/{name}"))["renewed_ms"]
        return found

    with writing(backups):
        first, deadline = renewed_ms(), time.monotonic() + 30
        while renewed_ms() == first and time.monotonic() < deadline:
            pass
        assert renewed_ms() > first
    assert backups.objects.sizes("running") == {}


def test_a_full_place_is_named_and_the_backup_before_stays(
    grow: Grow, back_up: BackUp, backups: Backups, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full ends the backup in one line; once there is room, the next
    one goes on.
    """
    grow(10)
    good = back_up().backup
    grow(10)

    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with (
            pytest.raises(BackupsUnavailable, match="the disk is full; free space"),
            writing(backups),
        ):
            pass
    with monkeypatch.context() as patch:
        patch.setattr("stream.objects._copy_durably", lambda *_: fail(0))
        with pytest.raises(BackupsUnavailable, match="the disk is full; free space"):
            back_up()
    assert backups.newest() == good
    assert list((Path(backups.url.removeprefix("file://")) / "running").iterdir()) == []
    back_up()


def test_a_place_that_cannot_be_reached_is_named(
    grow: Grow, back_up: BackUp, tmp_path: Path
) -> None:
    """The store goes on as it is, and the URL is in the message."""
    grow(1)
    (tmp_path / "backups").write_text("a file, where a folder should be")

    with pytest.raises(BackupsUnavailable, match=f"file://{tmp_path}/backups cannot be reached"):
        back_up()
    with pytest.raises(SettingsInvalid, match="nonsense"):
        Backups("nonsense://bucket/shop")


def test_a_place_that_fails_in_the_middle_leaves_nothing_that_counts(
    grow: Grow, settings: StreamSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a file system of fsspec raises is our own error."""
    root, backups = grow(10), Backups(f"memory://fails/{tmp_path.name}")

    def reset(*_: object, **__: object) -> None:
        raise RuntimeError("connection reset")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, "put_file", reset)
        with pytest.raises(BackupsUnavailable, match="connection reset"):
            create_backup(backups, root, settings, now_ms)
    assert backups.ids() == []
    assert backups.objects.sizes("running") == {}
    create_backup(backups, root, settings, now_ms)


def test_another_stores_backups_are_left_alone(
    grow: Grow, back_up: BackUp, backups: Backups, settings: StreamSettings, tmp_path: Path
) -> None:
    """Two stores at one URL would prune each other's backups."""
    grow(1)
    back_up()
    Store.create_or_open(tmp_path / "second", settings).close()

    with pytest.raises(BackupMismatch, match="give each store a URL of its own"):
        create_backup(backups, tmp_path / "second", settings, now_ms)


def test_only_an_empty_folder_is_restored_into(
    grow: Grow, back_up: BackUp, restore: Restore, tmp_path: Path
) -> None:
    """What is there is touched by nothing; an empty mount point will do."""
    grow(5)
    back_up()
    full = tmp_path / "full"
    full.mkdir()
    (full / "notes").write_text("mine")
    with pytest.raises(RestoreRefused, match=rf"not empty \(notes\).*mv {full} {full}.old"):
        restore("full")
    assert [path.name for path in full.iterdir()] == ["notes"]
    mount = tmp_path / "mount"
    (mount / "lost+found").mkdir(parents=True)
    restore("mount")

    check_whole(mount, 5)


def test_a_store_is_never_restored_over(grow: Grow, back_up: BackUp, restore: Restore) -> None:
    """Not even over the very store that was backed up."""
    grow(5)
    back_up()
    with pytest.raises(RestoreRefused, match="not empty"):
        restore("store")


def test_a_killed_restore_is_taken_up_again(
    grow: Grow,
    back_up: BackUp,
    restore: Restore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was fetched and is whole is not fetched twice."""
    grow(50)
    backup = back_up().backup
    fetch, fetched = BackupFiles.fetch, list[str]()

    def fetch_or_die(self: BackupFiles, name: str, target: Path) -> str:
        if len(fetched) == 3:
            raise KeyboardInterrupt
        found = fetch(self, name, target)
        fetched.append(name)
        return found

    def fetch_and_note(self: BackupFiles, name: str, target: Path) -> str:
        fetched.append(name)
        return fetch(self, name, target)

    with monkeypatch.context() as patch:
        patch.setattr(placing, "PARALLEL_FILES", 1)
        patch.setattr(BackupFiles, "fetch", fetch_or_die)
        with pytest.raises(KeyboardInterrupt):
            restore("other")
        fetched_before = list(fetched)
        fetched.clear()
        patch.setattr(BackupFiles, "fetch", fetch_and_note)
        restore("other")

    assert not set(fetched_before) & set(fetched)
    assert len(fetched) < len(backup.files_of("store"))
    check_whole(tmp_path / "other", 50)


def test_a_disk_without_room_is_told_before_anything_is_fetched(
    grow: Grow, back_up: BackUp, restore: Restore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hours of fetching would end in the same."""
    grow(5)
    back_up()
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10))
    monkeypatch.setattr(BackupFiles, "fetch", lambda *_: pytest.fail("fetched"))

    with pytest.raises(RestoreRefused, match="has 10 left; free space"):
        restore("other")


@pytest.mark.parametrize(("where", "name"), [(BackupFiles, "fetch"), (placing, "sync_file")])
def test_a_disk_that_fills_up_meanwhile_is_named(
    grow: Grow,
    back_up: BackUp,
    restore: Restore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: object,
    name: str,
) -> None:
    """At once or when it forces a file out; what was fetched stays for the next try."""
    grow(5)
    back_up()

    def fail(*_: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(where, name, fail)
        with pytest.raises(RestoreRefused, match="the disk is full; free space, then do it again"):
            restore("other")
    restore("other")
    check_whole(tmp_path / "other", 5)


def test_two_restores_into_one_folder_do_not_mix(
    grow: Grow, back_up: BackUp, restore: Restore, tmp_path: Path
) -> None:
    """The second says who is at it."""
    grow(5)
    back_up()
    with placing.unfinished(tmp_path / "other"), pytest.raises(RestoreRefused, match="pid "):
        restore("other")
    restore("other")


def test_no_new_store_is_begun_where_one_is_restored(
    grow: Grow, back_up: BackUp, backups: Backups, settings: StreamSettings, tmp_path: Path
) -> None:
    """A stream that a supervisor starts meanwhile would read the topics from their
    begin, and be in the way.
    """
    grow(5)
    back_up()
    other = tmp_path / "other"
    with restored_store(backups, backups.newest(), other, settings, now_ms()):
        with pytest.raises(StoreMissing, match="a backup is being restored into"):
            Store.create_or_open(other, settings)
        assert [path.name for path in other.iterdir()] == [".restore.tmp"]
    check_whole(other, 5)


def test_what_appears_in_the_folder_meanwhile_is_not_touched(
    grow: Grow, back_up: BackUp, backups: Backups, settings: StreamSettings, tmp_path: Path
) -> None:
    """The folder is looked at again before anything is put in place."""
    grow(5)
    back_up()
    other = tmp_path / "other"
    with (
        pytest.raises(RestoreRefused, match=r"not empty \(store.json\)"),
        restored_store(backups, backups.newest(), other, settings, now_ms()),
    ):
        (other / "store.json").write_text("somebody else's")
    assert (other / "store.json").read_text() == "somebody else's"
