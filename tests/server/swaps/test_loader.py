"""Loads that take too long."""

import threading

import pytest

from server.errors import LoadStuck
from server.live import LiveGeneration
from server.settings import ServerSettings
from server.swaps.loader import Loader
from testing.retrieval_server import wait_until
from testing.small_generations import Artifacts, make_catalogue


def test_a_load_that_hangs_is_given_up(
    artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deadline holds whatever a load waits for; too many that hang end the tries;
    once they end, the next load is as ever.
    """
    path = artifacts.store.generation_path(artifacts.write(make_catalogue(30, ["lamp"])))
    hangs = threading.Event()
    loader = Loader(ServerSettings(load_seconds=0.05))
    with monkeypatch.context() as patch:
        patch.setattr(LiveGeneration, "load", lambda *_, **__: hangs.wait())
        for _ in range(2):
            with pytest.raises(LoadStuck, match="load_seconds"):
                loader.load(path)
    with pytest.raises(LoadStuck, match="2 loads hang"):
        loader.load(path)

    hangs.set()

    wait_until(lambda: not loader.abandoned, "the loads that hung have ended")
    assert Loader(ServerSettings()).load(path).generation.path == path


def test_a_slow_load_ends_after_the_file_that_it_is_at(artifacts: Artifacts) -> None:
    """What was given up reads no further."""
    path = artifacts.store.generation_path(artifacts.write(make_catalogue(30, ["lamp"])))
    loader = Loader(ServerSettings(load_seconds=1e-9))

    with pytest.raises(LoadStuck):
        loader.load(path)

    wait_until(lambda: not loader.abandoned, "the load has ended")
