"""The glossary must not drift from the code."""

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "glossary.md"
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| term")
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row[0]))
def test_a_term_has_a_meaning_and_a_place_in_the_code(row: list[str]) -> None:
    """Every path that the page names exists."""
    paths = re.findall(r"`([a-z_]+/[a-z_/]+\.py)`", " ".join(row))

    assert len(row) == 4
    assert row[1].endswith(".")
    assert paths
    assert [path for path in paths if not (ROOT / path).is_file()] == []


def test_a_term_is_there_once() -> None:
    """One word for one idea."""
    assert [term for term, count in Counter(row[0] for row in ROWS).items() if count > 1] == []
