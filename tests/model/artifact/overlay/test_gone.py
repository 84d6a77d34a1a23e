"""The list of items that no generation shows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.artifact.generation import Generation
from model.artifact.overlay.gone import Gone, GoneList, read_gone
from model.artifact.overlay.writing import replace_unsynced


def shown_since(generation: Generation, catalog_ms: int, taken_ms: int) -> Generation:
    """Return a generation whose catalogue says so much of each of its items."""
    fresh = generation.fresh
    assert fresh is not None
    manifest = type(generation.manifest)()
    manifest.CopyFrom(generation.manifest)
    manifest.snapshot.taken_ms = taken_ms
    times = np.full(len(generation.item_ids), catalog_ms, dtype=np.int64)
    return replace(generation, manifest=manifest, fresh=replace(fresh, item_catalog_ms=times))


def test_a_generation_lists_again_what_nobody_saw_come_back(
    generation: Generation, tmp_path: Path
) -> None:
    """As while no refresher ran: one from before the deletion must not hide it."""
    path, item = tmp_path / "GONE", generation.item_ids[0]
    gone = GoneList(path)
    gone.change({item: Gone(100, 1000), "never listed again": Gone(100, 1000)}, {})

    gone.relist(shown_since(generation, 200, 2000))

    assert set(read_gone(path)) == {"never listed again"}


@pytest.mark.parametrize(
    ("catalog_ms", "taken_ms"), [(90, 2000), (200, 900)], ids=["listed before", "taken before"]
)
def test_what_is_still_gone_stays(
    generation: Generation, tmp_path: Path, catalog_ms: int, taken_ms: int
) -> None:
    """A generation from before the deletion lists the item, as it was then."""
    gone, item = GoneList(tmp_path / "GONE"), generation.item_ids[0]
    gone.change({item: Gone(100, 1000)}, {})

    gone.relist(shown_since(generation, catalog_ms, taken_ms))

    assert set(gone.items) == {item}


def test_a_file_that_cannot_be_written_is_named_as_it_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same each time, so that a log has the failure once."""

    def refuse(path: Path, _: bytes) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    said = []
    for _ in range(2):
        with pytest.raises(PermissionError) as raised:
            replace_unsynced(tmp_path / "NEWEST", b"")
        said.append(str(raised.value))

    assert said == [f"[Errno 13] Permission denied: '{tmp_path / 'NEWEST'}'"] * 2
