"""What was redacted from a quarantine file, and when."""

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from stream.errors import PARSE_ERRORS, QuarantineFailed, refusal

REDACTIONS_NAME = "quarantine/redactions.jsonl"
"""Where the notes are, under the store's folder."""


class Redaction(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the file that says what was redacted from the quarantine file.

    Attributes:
        kind: ``user``, ``session`` or ``item``.
        key: of the id, 16 hexadecimal digits.
        done_ms: when its records were removed.
        num_removed: how many.
    """

    kind: str
    key: str
    done_ms: int
    num_removed: int


def note_redaction(root: Path, redaction: Redaction) -> None:
    """Note a redaction beside a store's quarantine file.

    Raises:
        QuarantineFailed: the disk refused.
    """
    path = root / REDACTIONS_NAME
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(msgspec.json.encode(redaction) + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise QuarantineFailed(
            f"{path} could not be written ({error.strerror}); "
            f"{refusal(error) or 'mend the disk'}, then try again"
        ) from error


def read_redactions(root: Path) -> list[Redaction]:
    """Return the redactions of a store's quarantine file, oldest first.

    A line that a crash cut short is left out: its redaction was not reported as done.
    """
    try:
        lines = (root / REDACTIONS_NAME).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        with suppress(*PARSE_ERRORS):
            found.append(msgspec.json.decode(line, type=Redaction))
    return found
