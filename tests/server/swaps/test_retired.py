"""The memory of what is live no longer goes where somebody has time for it."""

import threading
import weakref

import pytest

from server.live import LiveGeneration
from server.settings import ServerSettings
from server.swaps.retired import RetiredGenerations
from testing.small_generations import Artifacts, make_catalogue


def load(artifacts: Artifacts) -> LiveGeneration:
    """Return a small generation that nobody else has."""
    path = artifacts.store.generation_path(artifacts.write(make_catalogue(20, ["lamp"])))
    return LiveGeneration.load(path, ServerSettings())


def test_the_last_reader_pays_nothing(artifacts: Artifacts) -> None:
    """Nothing large goes while somebody reads, nor with the last reader, but when it is
    let go, in that thread.
    """
    retired, live = RetiredGenerations(), load(artifacts)
    freed_in: list[str] = []

    def freed(_what: object) -> None:
        freed_in.append(threading.current_thread().name)

    large = live.generation, live.index, live.encoder, live.hits
    watched = [weakref.ref(each, freed) for each in large]
    del large
    retired.add(live)
    retired.let_go()
    assert not freed_in

    reading = [live]
    del live
    reader = threading.Thread(target=reading.clear, name="reader")
    reader.start()
    reader.join(10)
    assert not freed_in
    assert len(retired) == 1

    letting_go = threading.Thread(target=retired.let_go, name="letting go")
    letting_go.start()
    letting_go.join(10)
    assert freed_in == ["letting go"] * len(watched)
    assert len(retired) == 0


def test_those_that_are_read_stay(artifacts: Artifacts) -> None:
    """Each goes by itself."""
    retired = RetiredGenerations()
    first = load(artifacts)
    second = load(artifacts)
    retired.add(first)
    retired.add(second)
    gone = weakref.ref(first.index)

    del first
    retired.let_go()

    assert gone() is None
    assert len(retired) == 1
    assert second.index.search(second.generation.item_vectors[0], 1)[0].tolist() == [0]


@pytest.mark.parametrize("reads", [True, False])
def test_nothing_goes_before_it_is_let_go(artifacts: Artifacts, *, reads: bool) -> None:
    """Also where nobody reads it when it retires."""
    retired, live = RetiredGenerations(), load(artifacts)
    gone = weakref.ref(live.index)
    retired.add(live)
    if not reads:
        del live

    assert gone() is not None
    retired.let_go()
    assert (gone() is None) is not reads
