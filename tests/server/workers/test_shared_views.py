"""A generation goes to all workers, or to none."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from server.errors import WorkerFailed
from server.live import LiveGeneration
from server.settings import ServerSettings
from server.workers.channel import ChannelClosed, QuestionFailed
from server.workers.shared_views import SharedViews
from testing.small_generations import Artifacts, make_catalogue


class FakeWorker:
    """A worker that notes what it is asked."""

    def __init__(self, *, waits: bool = False) -> None:
        self.asked: list[str] = []
        self.fault: Exception | None = None
        self.waits = waits
        self.state = {"live": "", "pending": ""}
        self._prepared = ""

    def ask(
        self,
        operation: str,
        message: Mapping[str, Any] | None = None,
        *,
        seconds: float,  # the interface
        descriptors: Sequence[int] = (),
    ) -> dict[str, str]:
        """Take a generation, or fail."""
        if self.fault is not None:
            raise self.fault
        self.asked.append(operation)
        if operation == "prepare":
            assert message is not None
            assert len(message["names"]) == len(descriptors) > 0
            self._prepared = str(message["path"]).rpartition("/")[2]
        elif operation == "offer":
            self.state["pending" if self.waits else "live"] = self._prepared
        return dict(self.state)


@pytest.fixture
def views() -> SharedViews:
    """No worker yet."""
    return SharedViews(lambda _wanted, _ids: "")


def loaded(artifacts: Artifacts) -> LiveGeneration:
    """Return a new generation, with its files."""
    path = artifacts.store.generation_path(artifacts.write(make_catalogue(20, ["lamp"])))
    return LiveGeneration.load(path, ServerSettings(), keeps_files=True)


def test_all_workers_take_a_generation(views: SharedViews, artifacts: Artifacts) -> None:
    """First each opens it, then each makes it live."""
    first, second = FakeWorker(), FakeWorker()
    views.joined_by(0, first)
    views.joined_by(1, second)
    new = loaded(artifacts)

    views.offer(new)

    assert first.asked == second.asked == ["prepare", "offer"]
    assert views.live is not None
    assert views.live.generation_id == new.generation.id
    assert views.pending_id == ""


def test_none_takes_what_one_cannot(views: SharedViews, artifacts: Artifacts) -> None:
    """The others drop it, and what was live stays."""
    first, second = FakeWorker(), FakeWorker()
    views.joined_by(0, first)
    views.joined_by(1, second)
    old = loaded(artifacts)
    views.offer(old)
    second.fault = QuestionFailed("no memory")

    with pytest.raises(WorkerFailed, match="worker 1 could not take the generation: no memory"):
        views.offer(loaded(artifacts))

    assert first.asked == ["prepare", "offer", "prepare", "drop"]
    assert first.state["live"] == old.generation.id
    assert views.live is not None
    assert views.live.generation_id == old.generation.id


def test_a_worker_that_is_gone_holds_up_no_other(views: SharedViews, artifacts: Artifacts) -> None:
    """It gets what the others have once it is there again."""
    first, second = FakeWorker(), FakeWorker()
    views.joined_by(0, first)
    views.joined_by(1, second)
    second.fault = ChannelClosed("killed")
    new = loaded(artifacts)

    views.offer(new)
    views.left_by(1)
    again = FakeWorker()
    views.joined_by(1, again)

    assert first.state["live"] == again.state["live"] == new.generation.id


def test_what_waits_in_a_worker_is_not_live(views: SharedViews, artifacts: Artifacts) -> None:
    """Until all of them say so; one that begins meanwhile gets both."""
    first, second = FakeWorker(), FakeWorker(waits=True)
    views.joined_by(0, first)
    old, new = loaded(artifacts), loaded(artifacts)
    views.offer(old)
    views.joined_by(1, FakeWorker())
    views.left_by(1)
    second.waits = False
    views.joined_by(1, second)
    second.waits = True

    views.offer(new)
    third = FakeWorker()
    views.joined_by(2, third)

    assert views.live is not None
    assert (views.live.generation_id, views.pending_id) == (old.generation.id, new.generation.id)
    assert third.asked == ["prepare", "offer", "prepare", "offer"]
    views.heard([{"live": new.generation.id, "pending": ""}] * 3)
    assert (views.live.generation_id, views.pending_id) == (new.generation.id, "")


def test_what_waits_is_given_up(views: SharedViews, artifacts: Artifacts) -> None:
    """In all workers, where `CURRENT` names the live one again."""
    first, second = FakeWorker(), FakeWorker()
    views.joined_by(0, first)
    views.joined_by(1, second)
    views.offer(loaded(artifacts))
    second.waits = True
    views.offer(loaded(artifacts))

    views.withdraw()

    assert views.pending_id == ""
    assert first.asked[-1] == second.asked[-1] == "withdraw"
    views.withdraw()
    assert first.asked.count("withdraw") == 1


def test_files_are_closed_when_nobody_needs_them(views: SharedViews, artifacts: Artifacts) -> None:
    """Those of the generation before, of one that was refused, and all at the end."""
    worker = FakeWorker()
    views.joined_by(0, worker)
    old, new, refused = loaded(artifacts), loaded(artifacts), loaded(artifacts)
    for each in (old, new):
        views.offer(each)
    worker.fault = QuestionFailed("no memory")
    with pytest.raises(WorkerFailed):
        views.offer(refused)

    def open_files() -> list[bool]:
        return [bool(each.files and each.files.descriptors) for each in (old, new, refused)]

    assert open_files() == [False, True, False]
    views.close()
    assert open_files() == [False, False, False]
