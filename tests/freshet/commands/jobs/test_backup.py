"""`freshet backup` and `freshet restore`: the drill as an operator does it."""

import json
import shutil
from pathlib import Path

import pytest

from model.artifact.generation import open_generation
from model.artifact.overlay.folder import OverlayFolder
from model.artifact.overlay.gone import GoneList
from model.artifact.overlay.publisher import OverlayPublisher
from model.artifact.overlay.segment import Claim
from stream.settings import StreamSettings
from stream.store.store import Store
from testing.event_lines import CLICK, write_lines
from testing.overlays import overlay_rows
from testing.small_generations import DIM, Artifacts, make_catalogue
from tests.freshet.conftest import Command


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The URL of a folder for backups that is not there yet."""
    return f"file://{tmp_path}/backups"


def graph(run: Command, store: Path) -> str:
    """Return the hash of a store's graph."""
    return run("graph", "hash", "--store", store).stdout.strip()


def test_the_drill(
    run: Command, store: Path, artifacts: Artifacts, tmp_path: Path, url: str
) -> None:
    """Every disk is lost; two commands later the stream reads on where the backup
    ended, and ends with the graph of a store that was never lost.
    """
    generation = artifacts.publish(make_catalogue(30, ["lamp"]))
    made = run("backup", "create", url, "--store", store, "--artifacts", artifacts.root)
    assert made.returncode == 0, made.stderr
    assert f"2 facts in 1 shards, generation {generation}" in made.stderr
    events = tmp_path / "e.jsonl"
    more = write_lines(tmp_path / "more", [{"ts_ms": 1_760_000_009_000, **CLICK, "item_id": "i3"}])
    with events.open("ab") as log:
        log.write(Path(more).read_bytes())
    shutil.rmtree(store)
    shutil.rmtree(artifacts.root)

    back = run("restore", url, "--store", store, "--artifacts", artifacts.root)
    assert back.returncode == 0, back.stderr
    assert back.stdout == made.stdout
    assert f"{artifacts.root}: generation {generation} is current" in back.stderr
    assert "e.jsonl#" in back.stderr
    listed = run("quarantine", "list", "--store", store, "--json").stdout
    assert json.loads(listed)["reason"] == "empty_query"
    assert artifacts.store.current_id() == generation
    open_generation(artifacts.store.generation_path(generation))

    read = run("stream", "--source", f"file:{events}", "--store", store)
    assert "1 events applied, 1 new facts" in read.stderr
    plain = tmp_path / "plain"
    run("stream", "--source", f"file:{events}", "--store", plain)
    assert graph(run, store) == graph(run, plain)


def test_the_overlay_comes_back_with_its_generation(
    run: Command, store: Path, artifacts: Artifacts, tmp_path: Path, url: str
) -> None:
    """What a refresher had published, and what is gone, is there again."""
    generation = artifacts.publish(make_catalogue(30, ["lamp"]))
    folder = OverlayFolder.of(artifacts.root)
    publisher = OverlayPublisher(folder, generation, DIM, GoneList(folder.gone_path))
    publisher.publish(overlay_rows(DIM, gone_items=("old",)), Claim(reflected_ms=1_760_000_000_000))
    run("backup", "create", url, "--store", store, "--artifacts", artifacts.root)
    back = run("restore", url, "--artifacts", tmp_path / "other")
    assert back.returncode == 0, back.stderr

    restored = OverlayFolder.of(tmp_path / "other")
    assert restored.newest(generation) == folder.newest(generation)
    for path in (folder.gone_path, folder.segment_path(generation, 1)):
        other = restored.root / path.relative_to(folder.root)
        assert other.read_bytes() == path.read_bytes()


def test_all_generations_where_that_is_asked_for(
    run: Command, store: Path, artifacts: Artifacts, tmp_path: Path, url: str
) -> None:
    """The live one alone is enough to answer; the others are to go back to."""
    ids = [artifacts.publish(make_catalogue(30 + n, ["lamp"])) for n in range(2)]
    run("backup", "create", url, "--store", store, "--artifacts", artifacts.root)
    run("restore", url, "--artifacts", tmp_path / "live")
    run(
        *("backup", "create", url, "--store", store, "--artifacts", artifacts.root),
        "--all-generations",
    )
    run("restore", url, "--artifacts", tmp_path / "all")

    assert [path.name for path in (tmp_path / "live" / "generations").iterdir()] == ids[1:]
    assert sorted(path.name for path in (tmp_path / "all" / "generations").iterdir()) == sorted(ids)


def test_a_corrupt_generation_is_not_backed_up(
    run: Command, store: Path, artifacts: Artifacts, url: str
) -> None:
    """It is named, with what to do."""
    generation = artifacts.publish(make_catalogue(30, ["lamp"]))
    artifacts.damage(generation)
    made = run("backup", "create", url, "--store", store, "--artifacts", artifacts.root)

    assert made.returncode == 1
    assert "does not have the sha256 that its manifest gives" in made.stderr
    assert "freshet generations use" in made.stderr


def test_a_damaged_generation_keeps_the_store_from_being_put_in_place(
    run: Command, store: Path, artifacts: Artifacts, tmp_path: Path, url: str
) -> None:
    """Both are verified before either is put in place."""
    artifacts.publish(make_catalogue(30, ["lamp"]))
    run("backup", "create", url, "--store", store, "--artifacts", artifacts.root)
    largest = max((tmp_path / "backups" / "files").iterdir(), key=lambda path: path.stat().st_size)
    vectors = artifacts.store.generation_path(artifacts.store.current_id() or "") / "index.ann"
    content = vectors.read_bytes()
    found = [each for each in largest.parent.iterdir() if each.read_bytes() == content]
    found[0].write_bytes(content[:-1] + b"\0")
    back = run(
        *("restore", url, "--store", tmp_path / "s", "--artifacts", tmp_path / "a"),
    )

    assert back.returncode == 1
    assert "index.ann" in back.stderr
    assert not (tmp_path / "s" / "store.json").exists()
    assert not (tmp_path / "a" / "CURRENT").exists()


def test_list_verify_and_prune(run: Command, store: Path, tmp_path: Path, url: str) -> None:
    """What an operator asks of the backups, and what a script does."""
    assert "there is no backup at" in run("backup", "list", url).stderr
    ids = [
        run("backup", "create", url, "--store", store, "--keep", 2).stdout.strip() for _ in range(3)
    ]
    listed = json.loads(run("backup", "list", url, "--json").stdout)
    assert [each["backup_id"] for each in listed] == ids[1:]
    assert {each["graph_hash"] for each in listed} == {graph(run, store)}
    assert listed[0]["positions"]["0"][0]["next_offset"] > 0
    assert ids[2] in run("backup", "list", url).stdout

    whole = run("backup", "verify", url)
    assert (whole.returncode, whole.stdout.count("whole")) == (0, 2)
    assert run("backup", "prune", url, "--keep", 1).returncode == 0
    path = next(path for path in (tmp_path / "backups" / "files").iterdir() if path.stat().st_size)
    path.write_bytes(b"x" * path.stat().st_size)
    bad = run("backup", "verify", url, "--remove-damaged")
    assert bad.returncode == 1
    assert f"files/{path.name}" in bad.stdout
    run("backup", "create", url, "--store", store, "--keep", 1)
    assert run("backup", "verify", url).returncode == 0
    assert run("backup", "prune", url).returncode == 2


def test_the_url_may_be_a_setting(
    run: Command, store: Path, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job for every night needs no more than the settings have."""
    without = run("backup", "create", "--store", store)
    assert "set stream.backups_url" in without.stderr
    monkeypatch.setenv("FRESHET_STREAM_BACKUPS_URL", url)
    made = run("backup", "create", "--store", store)
    back = run("restore", "--store", tmp_path / "other")

    assert made.stdout == back.stdout
    assert "give --store DIR, --artifacts DIR or both" in run("restore").stderr


def test_an_erasure_by_hand_is_noted_for_restores_until_it_is_lifted(
    run: Command, store: Path, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`freshet erasures` says how many backups still have it; a restore of one of them
    has not; pruning ends it.
    """
    monkeypatch.setenv("FRESHET_STREAM_BACKUPS_URL", url)
    before = run("backup", "create", "--store", store).stdout.strip()
    erased = run("erase", "item", "i2", "--store", store)
    assert erased.returncode == 0, erased.stderr

    def in_backups() -> set[int]:
        entries = json.loads(run("erasures", "--store", store, "--json").stdout)
        return {each["num_backups"] for each in entries}

    assert in_backups() == {1}
    assert "in 1" in run("erasures", "--store", store).stdout
    back = run("restore", "--store", tmp_path / "other", "--backup", before)
    assert "erased again: 1 erasures of after the backup, 1 facts" in back.stderr
    assert graph(run, tmp_path / "other") == graph(run, store)

    run("backup", "create", "--store", store, "--keep", 1)
    assert in_backups() == {0}
    assert "gone" in run("erasures", "--store", store).stdout
    run("erase", "item", "i2", "--store", store, "--lift")
    assert list((tmp_path / "backups" / "erased").iterdir()) == []


def test_nothing_is_erased_where_it_cannot_be_noted(
    run: Command, store: Path, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with checkpoints: a restore would bring it back without a word."""
    monkeypatch.setenv("FRESHET_STREAM_BACKUPS_URL", url)
    (tmp_path / "backups").write_text("a file, where a folder should be")
    before = graph(run, store)
    erased = run("erase", "item", "i2", "--store", store)

    assert erased.returncode == 1
    assert "cannot be reached or written" in erased.stderr
    assert graph(run, store) == before


def test_nothing_is_noted_where_nothing_can_be_erased(
    run: Command, store: Path, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that a stream has open is left alone, and so are its backups."""
    monkeypatch.setenv("FRESHET_STREAM_BACKUPS_URL", url)
    monkeypatch.setenv("FRESHET_STREAM_TAKEOVER_WAIT_SECONDS", "0.01")
    with Store.create_or_open(store, StreamSettings()) as opened:
        opened.shard(0)
        erased = run("erase", "item", "i2", "--store", store)

    assert erased.returncode == 1
    assert "is open in another process" in erased.stderr
    assert not (tmp_path / "backups").exists()
