"""Asks the tuner for a generation before its time: the file `fresh/WANTED`."""

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from stream.errors import PARSE_ERRORS
from stream.files import replace_file

NAME = "WANTED"


class EarlyReason(StrEnum):
    """Why a generation is wanted early; values of the label `reason`."""

    OVERLAY_FULL = "overlay_full"
    DRIFT = "drift"
    WITHHELD = "withheld"
    FEED_GAP = "feed_gap"
    OLD_GENERATION = "old_generation"
    FAILED = "failed"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A generation that is wanted early.

    Attributes:
        reason: the kind of reason.
        detail: for people, one line.
        at_ms: when it was asked for, UTC epoch milliseconds.
    """

    reason: EarlyReason
    detail: str
    at_ms: int


def ask(artifacts: Path, wanted: Wanted) -> None:
    """Put the question down in the artifacts folder, in place of an earlier one.

    Raises:
        OSError: it cannot be written.
    """
    content = {"reason": wanted.reason, "detail": wanted.detail, "at_ms": wanted.at_ms}
    path = _path(artifacts)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, json.dumps(content).encode())


def asked(artifacts: Path) -> Wanted | None:
    """Return what is wanted, or None where nothing is.

    A file that cannot be understood is a question, too: somebody wrote it.
    """
    try:
        content = _path(artifacts).read_bytes()
    except OSError:
        return None
    try:
        found = json.loads(content)
        return Wanted(
            reason=EarlyReason(found["reason"]),
            detail=str(found["detail"]),
            at_ms=int(found["at_ms"]),
        )
    except (*PARSE_ERRORS, KeyError, OverflowError, TypeError):
        text = " ".join(content.decode("utf-8", "replace").split())
        return Wanted(reason=EarlyReason.OTHER, detail=text, at_ms=0)


def withdraw(artifacts: Path) -> None:
    """Remove the question: a generation that answers it was begun.

    Raises:
        OSError: it cannot be removed.
    """
    _path(artifacts).unlink(missing_ok=True)


def _path(artifacts: Path) -> Path:
    return artifacts / "fresh" / NAME
