"""Loads that take too long."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def test_a_slow_load_ends_after_the_file_that_it_is_at(
    artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was given up reads no further."""
    path = artifacts.store.generation_path(artifacts.write(make_catalogue(30, ["lamp"])))
    loader = Loader(ServerSettings(load_seconds=0.05))
    load, is_late, files = LiveGeneration.load, threading.Event(), list[Path]()

    def slow(*given: Any, on_file: Callable[[Path], None], **named: Any) -> LiveGeneration:
        def at(file: Path) -> None:
            is_late.wait()
            files.append(file)
            on_file(file)

        return load(*given, on_file=at, **named)

    monkeypatch.setattr(LiveGeneration, "load", slow)
    with pytest.raises(LoadStuck):
        loader.load(path)
    is_late.set()

    wait_until(lambda: not loader.abandoned, "the load has ended")
    assert len(files) == 1
