"""Tests of `freshet sink`; what it does in a database is in tests/model/sink."""

from pathlib import Path

import pytest

from tests.freshet.conftest import Command


@pytest.mark.parametrize("database", ["secret", "host=db password=my secret", "host=db hots=x"])
def test_what_is_no_connection_string_ends_it(run: Command, tmp_path: Path, database: str) -> None:
    """It was tried again for ever, with advice to look at the schema; and a password is
    not shown.
    """
    outcome = run("sink", "--artifacts", tmp_path, "--database", database)

    assert outcome.returncode == 1
    assert "no connection string" in outcome.stderr
    assert "secret" not in outcome.stderr
