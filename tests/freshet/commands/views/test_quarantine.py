"""Tests of `freshet quarantine`."""

import json
from pathlib import Path

from tests.freshet.conftest import Command


def test_the_quarantine_can_be_listed(store: Path, run: Command) -> None:
    """Reason and place for people, all of it for scripts."""
    (entry,) = [
        json.loads(line)
        for line in run("quarantine", "list", "--store", store, "--json").stdout.splitlines()
    ]

    assert entry["reason"] == "empty_query"
    assert "empty_query" in run("quarantine", "list", "--store", store).stdout
    assert (
        run("quarantine", "list", "--store", store, "--reason", "malformed").stdout
        == "nothing is quarantined\n"
    )
