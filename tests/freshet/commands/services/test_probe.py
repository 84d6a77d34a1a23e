"""Tests of `freshet probe`'s options; `tests/freshet/prober` has what it does."""

import pytest

from tests.freshet.conftest import Command


@pytest.mark.parametrize("name", ["", " ", "a b", "Fish&amp;Chips", "x" * 129, "a\x1b[31m"])
def test_a_probe_has_a_name_that_comes_back_as_it_was_sent(run: Command, name: str) -> None:
    """It stands in ids, in titles and in metrics: what does not fit is refused at once,
    and what fits is said.
    """
    outcome = run("probe", "--to", "localhost:1", "--target", "localhost:2", "--name", name)

    assert outcome.returncode == 2
    assert "is no name for a probe: give letters" in " ".join(outcome.stderr.split())
