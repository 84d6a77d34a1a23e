"""Hundreds of wrong generations, most of them sealed: all refused, none fatal."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from model.artifact.checks.contents import check_contents
from model.artifact.checks.verified import open_verified
from model.artifact.generation import open_generation
from model.errors import GenerationCorrupt, ModelError
from server.errors import ServerError
from server.live import LiveGeneration
from server.settings import ServerSettings
from testing.small_generations import Artifacts, make_catalogue, some_attributes
from testing.wrong_generations import wrong_generations

logger = logging.getLogger(__name__)

AT_LEAST = 300
"""How many ways there must be; the generator makes some more."""


def refusal(path: Path) -> str:
    """Return why a server refuses a generation; empty: it takes it, or fails in another
    way.
    """
    try:
        LiveGeneration.load(path, ServerSettings(num_warmups=0))
    except (ModelError, ServerError, OSError) as error:
        return str(error) or type(error).__name__
    except Exception:
        logger.exception("unexpected path=%s", path)
    return ""


def test_whatever_is_wrong_with_a_generation_it_is_refused(
    artifacts: Artifacts, tmp_path: Path
) -> None:
    """With a reason each, in the process that asks; the whole one is taken."""
    queries = ["lamp", "red shoe", *(f"query {number}" for number in range(30))]
    catalogue = make_catalogue(150, queries)
    catalogue.attributes = some_attributes(150)
    generation_id = artifacts.write(catalogue)
    whole = artifacts.store.generation_path(generation_id)
    assert refusal(whole) == ""

    reasons: dict[str, str] = {}
    for name, break_it in wrong_generations(whole):
        copy = tmp_path / "wrong" / generation_id
        shutil.copytree(whole, copy)
        break_it(copy)
        reasons[name] = refusal(copy)
        shutil.rmtree(copy)

    assert [name for name, reason in reasons.items() if not reason] == []
    assert len(reasons) >= AT_LEAST


def test_choosing_a_wrong_generation_by_hand_is_refused_too(artifacts: Artifacts) -> None:
    """`freshet generations use` checks what a server does, but for the search."""

    def break_it(folder: Path) -> None:
        (folder / "item_titles.utf8").write_bytes(b"\xff")

    generation_id = artifacts.write(make_catalogue(150, ["lamp"]), break_it=break_it)

    with pytest.raises(ModelError, match="item_titles"):
        open_verified(artifacts.store.generation_path(generation_id))


@pytest.mark.parametrize("row", [0, 6, 7, 13, 29])
@pytest.mark.parametrize("kind", ["item", "query"])
def test_a_wrong_key_is_told_in_whichever_block_it_is(
    artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch, kind: str, row: int
) -> None:
    """Keys are computed again a few thousand at once, here seven."""
    monkeypatch.setattr("model.artifact.checks.contents._KEYS_AT_ONCE", 7)
    catalogue = make_catalogue(30, [f"query {number}" for number in range(30)])
    path = artifacts.store.generation_path(artifacts.write(catalogue))
    generation = open_generation(path)
    check_contents(generation)
    keys = getattr(generation, f"{kind}_keys").copy()
    keys[row] += 1

    with pytest.raises(GenerationCorrupt, match=f"{kind}_keys.npy is of other.*row {row} does not"):
        check_contents(replace(generation, **{f"{kind}_keys": keys}))
