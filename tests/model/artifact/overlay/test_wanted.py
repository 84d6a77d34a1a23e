"""Asking for a generation early."""

from pathlib import Path

import pytest

from model.artifact.overlay.wanted import EarlyReason, Wanted, ask, asked, withdraw

WISH = Wanted(reason=EarlyReason.FEED_GAP, detail="shard 2 begins too late", at_ms=17)


def test_a_wish_is_there_until_it_is_withdrawn(tmp_path: Path) -> None:
    """The newest counts; withdrawing what is not there is no error."""
    assert asked(tmp_path) is None

    ask(tmp_path, Wanted(reason=EarlyReason.DRIFT, detail="", at_ms=1))
    ask(tmp_path, WISH)

    assert asked(tmp_path) == WISH
    withdraw(tmp_path)
    withdraw(tmp_path)
    assert asked(tmp_path) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"please\n now", b'{"reason": "whim", "detail": "", "at_ms": 1}', b"[1]", b"\xff"],
)
def test_a_wish_that_cannot_be_read_is_one(tmp_path: Path, content: bytes) -> None:
    """Somebody asked, by hand or with a newer version."""
    ask(tmp_path, WISH)
    (tmp_path / "fresh" / "WANTED").write_bytes(content)

    found = asked(tmp_path)

    assert found is not None
    assert found.reason is EarlyReason.OTHER
    assert "\n" not in found.detail
