"""What is damaged is refused by its name, in a store, a backup and on the way back."""

from hashlib import sha256
from pathlib import Path

import pytest
from msgspec.structs import replace

from stream.backup import writer
from stream.backup.create import create_backup
from stream.backup.manifest import (
    BackedUpFile,
    BackedUpStore,
    Backup,
    decode_backup,
    encode_backup,
)
from stream.backup.repository import Backups
from stream.backup.writer import writing
from stream.clock import now_ms
from stream.errors import BackupDamaged, BackupMismatch, BackupMissing, StoreUnreadable
from stream.files import sha256_of
from stream.settings import StreamSettings
from stream.shard.reader import ShardReader
from tests.stream.backup.conftest import BackUp, Grow, Restore


def object_of(backup: Backup, tmp_path: Path, suffix: str) -> tuple[BackedUpFile, Path]:
    """Return a file of a backup, and where its content is."""
    found = next(file for file in backup.files if file.name.endswith(suffix) and file.size)
    return found, tmp_path / "backups" / "files" / found.sha256


def flip(path: Path) -> None:
    """Change one byte in the middle of a file, in place."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))


def test_a_damaged_store_is_not_backed_up(grow: Grow, back_up: BackUp, backups: Backups) -> None:
    """The good backup before it stays the newest."""
    root = grow(50)
    good = back_up().backup
    data = sorted(root.glob("shard-0000/e-*/*.sst"))
    assert data
    flip(data[-1])

    with pytest.raises(StoreUnreadable, match="shard-0000"):
        back_up()
    assert backups.newest() == good


def test_an_unchecked_backup_reads_no_more_than_what_is_new(
    grow: Grow,
    back_up: BackUp,
    backups: Backups,
    settings: StreamSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where that is asked for, data files that are there already are not read again."""
    root = grow(50)
    first = back_up().backup
    read, hashed = list[str](), list[str]()

    def note_hash(path: Path) -> str:
        hashed.append(path.name)
        return sha256_of(path)

    monkeypatch.setattr(ShardReader, "check", lambda self: read.append(self.path.name))
    monkeypatch.setattr(writer, "sha256_of", note_hash)
    second = create_backup(backups, root, settings, now_ms, is_checked=False)

    assert read == []
    known = {file.name.rpartition("/")[2] for file in first.files if file.name.endswith(".sst")}
    assert known
    assert not known & set(hashed)
    assert second.backup.store.graph_hash == first.store.graph_hash


@pytest.mark.parametrize("suffix", [".sst", "CURRENT", "store.json"])
@pytest.mark.parametrize("damage", ["flipped", "cut short", "missing"])
def test_a_damaged_file_is_named_and_nothing_is_put_in_place(
    grow: Grow, back_up: BackUp, restore: Restore, tmp_path: Path, suffix: str, damage: str
) -> None:
    """A file of the backup that is not what the manifest says ends the restore."""
    grow(50)
    file, path = object_of(back_up().backup, tmp_path, suffix)
    if damage == "flipped":
        flip(path)
    elif damage == "cut short":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        path.unlink()

    with pytest.raises(BackupDamaged, match=file.sha256):
        restore("other")
    assert [each.name for each in (tmp_path / "other").iterdir()] == [".restore.tmp"]


def test_once_it_is_mended_the_same_restore_goes_on(
    grow: Grow, back_up: BackUp, restore: Restore, tmp_path: Path
) -> None:
    """What was refused left nothing that would be in the way."""
    grow(50)
    _, path = object_of(back_up().backup, tmp_path, ".sst")
    content = path.read_bytes()
    flip(path)
    with pytest.raises(BackupDamaged):
        restore("other")
    path.write_bytes(content)
    restore("other")

    assert (tmp_path / "other" / "store.json").exists()


def test_a_damaged_manifest_is_refused_and_the_one_before_is_named(
    grow: Grow, back_up: BackUp, restore: Restore, tmp_path: Path
) -> None:
    """A byte of the manifest that changed is seen, though it parses."""
    grow(10)
    older = back_up().backup
    grow(10)
    newest = back_up().backup
    path = tmp_path / "backups" / "backups" / f"{newest.backup_id}.json"
    path.write_text(path.read_text().replace('"num_shards":1', '"num_shards":2'))

    with pytest.raises(BackupDamaged, match=f"--backup {older.backup_id}"):
        restore("other")


def test_a_later_format_is_refused(
    grow: Grow, back_up: BackUp, backups: Backups, tmp_path: Path
) -> None:
    """A backup of a later version is told from a damaged one."""
    grow(1)
    backup_id = back_up().backup.backup_id
    path = tmp_path / "backups" / "backups" / f"{backup_id}.json"
    content = '{"format_version":2,"new":"layout"}'
    path.write_text(f'{{"sha256":"{sha256(content.encode()).hexdigest()}","backup":{content}}}')

    with pytest.raises(BackupMismatch, match="format version 2"):
        backups.read(backup_id)


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", ""])
def test_a_manifest_that_names_a_file_outside_its_folder_is_refused(name: str) -> None:
    """Whoever can write a manifest cannot write anywhere else by a restore."""
    backup = Backup(
        format_version=1,
        backup_id="x",
        taken_ms=1,
        store=BackedUpStore(
            store_id="s", num_shards=1, graph_hash="", facts=0, watermark_ms=0, shards=()
        ),
        artifacts=None,
        files=(BackedUpFile(part="store", name="store.json", size=1, sha256="0" * 64),),
    )
    assert decode_backup(encode_backup(backup), "m") == backup
    bad = replace(backup, files=(replace(backup.files[0], name=name),))

    with pytest.raises(BackupDamaged, match="outside its folder"):
        decode_backup(encode_backup(bad), "m")


def test_a_backup_whose_graph_is_not_the_one_it_names_is_refused(
    grow: Grow, back_up: BackUp, restore: Restore, backups: Backups, tmp_path: Path
) -> None:
    """Hashes that are right do not make a manifest right that is of another graph."""
    grow(10)
    backup = back_up().backup
    wrong = replace(backup, store=replace(backup.store, graph_hash="0" * 64))
    backups.objects.write(f"backups/{backup.backup_id}.json", encode_backup(wrong))

    with pytest.raises(BackupDamaged, match="does not hold the graph"):
        restore("other")


def test_verifying_names_what_is_damaged_and_the_next_backup_mends_it(
    grow: Grow, back_up: BackUp, restore: Restore, backups: Backups, tmp_path: Path
) -> None:
    """A damaged file that is removed is put there again, if it is still needed."""
    grow(50)
    first = back_up().backup
    assert backups.damaged_files([first]) == {}
    file, path = object_of(first, tmp_path, ".sst")
    flip(path)
    missing, gone = object_of(first, tmp_path, "CURRENT")
    gone.unlink()
    damaged = backups.damaged_files([first])
    assert damaged == {file.sha256: "has another content", missing.sha256: "is missing"}
    with writing(backups) as writer:
        writer.remove_files(list(damaged))
    second = back_up().backup

    assert backups.damaged_files([second]) == {}
    assert backups.damaged_files([first]) == {missing.sha256: "is missing"}
    restore("other")


def test_there_is_none_yet(backups: Backups) -> None:
    """A URL without backups says so."""
    with pytest.raises(BackupMissing, match="there is no backup at"):
        backups.newest()
    with pytest.raises(BackupMissing, match="freshet backup list"):
        backups.read("20260101T000000Z-000000")
