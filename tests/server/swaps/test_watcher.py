"""Following `CURRENT`: swaps, refusals, retries."""

import errno
import logging
import math
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from model.artifact.index.engine import load_engine
from model.artifact.manifest import MANIFEST_NAME
from model.artifact.overlay.folder import OverlayFolder
from model.errors import GenerationCorrupt
from server.metrics.answering import ServerMetrics
from server.metrics.overlay import OverlayMetrics
from server.settings import ServerSettings
from server.swaps.loader import Loader
from server.swaps.refusals import RefusalReason
from server.swaps.watcher import GenerationWatcher
from server.views import LiveViews
from testing.retrieval_server import wait_until
from testing.small_generations import INDEX_NAME, NOW_MS, Artifacts, Catalogue, make_catalogue

UNKNOWN_ID = "20260101T000000Z-abcdef"


@dataclass
class Clock:
    """A monotonic clock that a test moves."""

    seconds: float = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.seconds


@dataclass
class Watched:
    """A watcher whose polls the test makes itself."""

    watcher: GenerationWatcher
    views: LiveViews
    registry: CollectorRegistry
    clock: Clock
    went_live: list[str]

    @property
    def live_id(self) -> str | None:
        """Id of the live generation."""
        live = self.views.live
        return None if live is None else live.generation_id

    def refusals(self, reason: RefusalReason) -> float | None:
        """How many tries were refused for a reason."""
        return self.registry.get_sample_value(
            "freshet_server_swap_refused_total", {"reason": reason}
        )


def made_at(second: int, num_items: int) -> Catalogue:
    """Return a catalogue whose generation sorts by its second."""
    catalogue = make_catalogue(num_items, ["lamp"])
    catalogue.created_ms = NOW_MS + 1000 * second
    return catalogue


@pytest.fixture
def watched(artifacts: Artifacts) -> Watched:
    """A watcher over `artifacts` that has loaded nothing yet."""
    registry, clock, went_live = CollectorRegistry(), Clock(), []
    settings = ServerSettings(watch_every_seconds=0.02, retry_seconds=4.0)
    metrics = ServerMetrics(registry, RefusalReason)
    views = LiveViews(
        OverlayFolder.of(artifacts.root),
        settings,
        metrics,
        OverlayMetrics(registry),
        on_live=lambda: went_live.append("live"),
        clock_ms=lambda: NOW_MS,
        monotonic=clock,
    )
    watcher = GenerationWatcher(
        artifacts.store,
        views,
        settings,
        metrics,
        Loader(settings, clock_ms=lambda: NOW_MS),
        monotonic=clock,
    )
    return Watched(watcher, views, registry, clock, went_live)


def test_nothing_is_live_without_a_pointer(watched: Watched) -> None:
    """Without `CURRENT` there is nothing to load and nothing wrong."""
    assert watched.watcher.load_first() is False
    watched.watcher.poll()

    assert watched.live_id is None
    assert watched.watcher.last_refusal == ""


def test_the_first_generation_goes_live(artifacts: Artifacts, watched: Watched) -> None:
    """What `CURRENT` names is loaded, and said to be live once."""
    first = artifacts.publish(make_catalogue(30, ["lamp"]))

    assert watched.watcher.load_first() is True
    watched.watcher.poll()

    assert watched.live_id == first
    assert watched.went_live == ["live"]


def test_a_flip_and_a_roll_back_are_followed(artifacts: Artifacts, watched: Watched) -> None:
    """Whatever `CURRENT` names goes live, an older generation too."""
    first = artifacts.publish(make_catalogue(30, ["lamp"]))
    watched.watcher.load_first()
    second = artifacts.publish(make_catalogue(40, ["lamp"]))
    assert watched.live_id == first

    overlap = "freshet_server_generation_overlap"
    assert math.isnan(watched.registry.get_sample_value(overlap) or 0)
    watched.watcher.poll()
    assert watched.live_id == second
    assert watched.registry.get_sample_value(overlap) == 0  # their ids are different

    artifacts.use(first)
    watched.watcher.poll()
    assert watched.live_id == first
    assert watched.registry.get_sample_value("freshet_server_swaps_total") == 3


def test_a_pointer_that_goes_away_changes_nothing(artifacts: Artifacts, watched: Watched) -> None:
    """Without `CURRENT` the live generation stays."""
    first = artifacts.publish(make_catalogue(30, ["lamp"]))
    watched.watcher.load_first()
    (artifacts.root / "CURRENT").unlink()

    watched.watcher.poll()

    assert watched.live_id == first
    assert "CURRENT is gone" in watched.watcher.last_refusal
    assert watched.watcher.refused_id == "CURRENT"
    assert watched.refusals(RefusalReason.POINTER) == 1


def test_a_folder_that_goes_away_is_said(artifacts: Artifacts, watched: Watched) -> None:
    """A mount that is gone leaves the live generation, and a refusal that names it."""
    first = artifacts.publish(make_catalogue(30, ["lamp"]))
    watched.watcher.load_first()
    shutil.rmtree(artifacts.root)

    for _ in range(3):
        watched.watcher.poll()

    assert watched.live_id == first
    assert f"{artifacts.root} is gone" in watched.watcher.last_refusal
    assert watched.refusals(RefusalReason.POINTER) == 1


def test_a_generation_that_lost_most_items_is_refused(
    artifacts: Artifacts, watched: Watched
) -> None:
    """A broken feed does not empty the shop; going back to a small one is free."""
    small = artifacts.publish(made_at(1, 10))
    watched.watcher.load_first()
    large = artifacts.publish(made_at(2, 50))
    watched.watcher.poll()
    empty = artifacts.publish(made_at(3, 0))

    watched.watcher.poll()

    assert watched.live_id == large
    assert watched.refusals(RefusalReason.SHRUNK) == 1
    assert empty in watched.watcher.last_refusal
    artifacts.use(small)
    watched.watcher.poll()
    assert watched.live_id == small


def test_the_watcher_has_a_heartbeat(artifacts: Artifacts, watched: Watched) -> None:
    """Each look at `CURRENT` is told, whatever it holds."""
    name = "freshet_server_watcher_heartbeat_timestamp_seconds"
    assert watched.registry.get_sample_value(name) == 0

    watched.watcher.poll()

    assert (watched.registry.get_sample_value(name) or 0) > 0
    assert not artifacts.store.generation_ids()


def test_a_corrupt_generation_is_refused_once(
    artifacts: Artifacts, watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    """The old one stays live; the refusal is counted, logged and told, and not repeated
    at each poll.
    """
    first = artifacts.publish(make_catalogue(30, ["lamp"]))
    watched.watcher.load_first()
    second = artifacts.write(make_catalogue(40, ["lamp"]))
    artifacts.damage(second)
    artifacts.use(second)

    with caplog.at_level(logging.ERROR):
        for _ in range(5):
            watched.watcher.poll()
            watched.clock.seconds += 100

    assert watched.live_id == first
    assert watched.refusals(RefusalReason.CORRUPT) == 1
    assert [record.message.split(" ")[0] for record in caplog.records] == ["generation_refused"]
    assert second in watched.watcher.last_refusal
    assert "sha256" in watched.watcher.last_refusal


def test_a_generation_made_whole_is_taken(artifacts: Artifacts, watched: Watched) -> None:
    """A corrupt generation whose files change (restored, or still being copied) is
    tried again at once.
    """
    artifacts.publish(make_catalogue(30, ["lamp"]))
    watched.watcher.load_first()
    second = artifacts.write(make_catalogue(40, ["lamp"]))
    path = artifacts.store.generation_path(second) / "item_vectors.npy"
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    artifacts.use(second)
    watched.watcher.poll()
    assert watched.refusals(RefusalReason.CORRUPT) == 1

    path.write_bytes(content)
    watched.watcher.poll()

    assert watched.live_id == second
    assert watched.watcher.last_refusal == ""


def test_a_copy_that_ends_while_it_is_refused_is_taken(
    artifacts: Artifacts, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that become whole between the failed check and the refusal are a reason to
    try again, too.
    """
    artifacts.publish(make_catalogue(30, ["lamp"]))
    watched.watcher.load_first()
    second = artifacts.write(make_catalogue(40, ["lamp"]))
    path = artifacts.store.generation_path(second) / "item_vectors.npy"
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    artifacts.use(second)

    def fail_then_finish(*_: object, **__: object) -> None:
        path.write_bytes(content)
        raise GenerationCorrupt("cut short")

    with monkeypatch.context() as patch:
        patch.setattr("server.live.open_verified", fail_then_finish)
        watched.watcher.poll()
    assert watched.refusals(RefusalReason.CORRUPT) == 1

    watched.watcher.poll()

    assert watched.live_id == second


def test_the_next_generation_ends_a_refusal(artifacts: Artifacts, watched: Watched) -> None:
    """A good generation after a corrupt one goes live and clears what was told."""
    artifacts.publish(make_catalogue(30, ["lamp"]))
    watched.watcher.load_first()
    bad = artifacts.write(make_catalogue(40, ["lamp"]))
    artifacts.damage(bad)
    artifacts.use(bad)
    watched.watcher.poll()
    assert watched.watcher.last_refusal

    good = artifacts.publish(make_catalogue(50, ["lamp"]))
    watched.watcher.poll()

    assert watched.live_id == good
    assert watched.watcher.last_refusal == ""


def test_pointing_back_to_the_live_one_ends_a_refusal(
    artifacts: Artifacts, watched: Watched
) -> None:
    """A roll back to what is live already clears the refusal without another load."""
    first = artifacts.publish(make_catalogue(30, ["lamp"]))
    watched.watcher.load_first()
    artifacts.use(UNKNOWN_ID)
    watched.watcher.poll()
    assert watched.watcher.last_refusal

    artifacts.use(first)
    watched.watcher.poll()

    assert watched.watcher.last_refusal == ""
    assert watched.registry.get_sample_value("freshet_server_swaps_total") == 1


def test_a_missing_generation_is_tried_again_with_growing_waits(
    artifacts: Artifacts, watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    """A passing reason is tried again after 1, 2, 4, 4 seconds (the setting's limit),
    and logged once.
    """
    artifacts.publish(make_catalogue(30, ["lamp"]))
    watched.watcher.load_first()
    artifacts.use(UNKNOWN_ID)

    tries = []
    with caplog.at_level(logging.ERROR):
        for second in range(13):
            watched.clock.seconds = float(second)
            before = watched.refusals(RefusalReason.MISSING)
            watched.watcher.poll()
            if watched.refusals(RefusalReason.MISSING) != before:
                tries.append(second)

    assert tries == [0, 1, 3, 7, 11]
    assert len(caplog.records) == 1


def test_a_generation_whose_text_encoder_is_not_installed_is_refused(
    artifacts: Artifacts, watched: Watched
) -> None:
    """The old one stays live, and the reason says what to install."""
    first = artifacts.publish(make_catalogue(30, ["lamp"]))
    watched.watcher.load_first()
    second = artifacts.publish(make_catalogue(30, ["lamp"], seed=1))
    path = artifacts.root / "generations" / second / MANIFEST_NAME
    path.write_text(path.read_text().replace("{", '{"pretrainedText": {"name": "another"},', 1))

    watched.watcher.poll()

    assert watched.live_id == first
    assert watched.refusals(RefusalReason.ENCODER) == 1
    assert "freshet[text]" in watched.watcher.last_refusal


def test_a_pointer_that_is_no_id_is_told_once(artifacts: Artifacts, watched: Watched) -> None:
    """Rubbish in `CURRENT` keeps the old one live and is counted once, not at each
    poll.
    """
    first = artifacts.publish(make_catalogue(30, ["lamp"]))
    watched.watcher.load_first()
    (artifacts.root / "CURRENT").write_text("../../etc\n")

    for _ in range(3):
        watched.watcher.poll()

    assert watched.live_id == first
    assert watched.refusals(RefusalReason.POINTER) == 1
    assert "CURRENT" in watched.watcher.last_refusal


def test_failed_canaries_are_a_reason_of_their_own(artifacts: Artifacts, watched: Watched) -> None:
    """A well-formed index of other vectors is refused as `canary`."""
    artifacts.publish(make_catalogue(30, ["lamp"]))
    watched.watcher.load_first()
    sound = make_catalogue(30, ["lamp"])

    def build_of_others(folder: Path) -> None:
        vectors = make_catalogue(30, seed=9).item_vectors
        load_engine(sound.settings.index_engine).build(vectors, folder / INDEX_NAME, sound.settings)

    artifacts.publish(sound, break_it=build_of_others)

    watched.watcher.poll()

    assert watched.refusals(RefusalReason.CANARY) == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), RefusalReason.MEMORY),
        (OSError(12, "Cannot allocate memory"), RefusalReason.MEMORY),
        (OSError(5, "Input/output error"), RefusalReason.IO),
        (ZeroDivisionError("a bug"), RefusalReason.UNEXPECTED),
    ],
)
def test_whatever_a_load_raises_the_watcher_lives_on(
    artifacts: Artifacts,
    watched: Watched,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    reason: RefusalReason,
) -> None:
    """No memory, a bad disk or a bug of ours is a refusal, too, and the next good
    generation is taken.
    """
    first = artifacts.publish(make_catalogue(30, ["lamp"]))
    watched.watcher.load_first()
    second = artifacts.publish(make_catalogue(40, ["lamp"]))

    def fail(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("server.live.open_verified", fail)
        watched.watcher.poll()
    assert watched.live_id == first
    assert watched.refusals(reason) == 1
    assert watched.watcher.last_refusal

    watched.clock.seconds += 1
    watched.watcher.poll()
    assert watched.live_id == second


@pytest.mark.parametrize("what", ["corrupt", "missing", "rubbish"])
def test_a_start_falls_back_to_the_newest_that_is_fit(
    artifacts: Artifacts, watched: Watched, what: str
) -> None:
    """While `CURRENT` is bad the newest generation that passes serves, and what was
    refused is said until it is mended.
    """
    artifacts.publish(made_at(1, 30))
    second = artifacts.publish(made_at(2, 31))
    third = artifacts.publish(made_at(3, 32))
    artifacts.damage(third)
    if what == "missing":
        shutil.rmtree(artifacts.store.generation_path(third))
    if what == "rubbish":
        (artifacts.root / "CURRENT").write_text("rubbish")

    assert watched.watcher.load_first() is True

    assert watched.live_id == second
    assert watched.watcher.refused_id == ("CURRENT" if what == "rubbish" else third)
    assert watched.registry.get_sample_value("freshet_server_newest_refused") == 1
    for _ in range(3):
        watched.watcher.poll()
    assert watched.live_id == second
    assert watched.watcher.last_refusal

    fourth = artifacts.publish(made_at(4, 33))
    watched.watcher.poll()
    assert watched.live_id == fourth
    assert watched.watcher.refused_id == ""
    assert watched.registry.get_sample_value("freshet_server_newest_refused") == 0


def test_a_start_never_falls_back_to_what_the_gate_refused(
    artifacts: Artifacts, watched: Watched
) -> None:
    """A generation that is on disk to be looked into serves nobody."""
    judged = make_catalogue(30, ["lamp"])
    judged.passed_gate = False
    artifacts.write(judged)
    damaged = artifacts.publish(make_catalogue(31, ["lamp"]))
    artifacts.damage(damaged)

    assert watched.watcher.load_first() is False
    watched.watcher.poll()

    assert watched.live_id is None
    assert watched.watcher.refused_id == damaged


@pytest.mark.parametrize(
    ("what", "reason", "words"),
    [
        ("corrupt", RefusalReason.CORRUPT, "sha256"),
        ("missing", RefusalReason.MISSING, UNKNOWN_ID),
        ("rubbish", RefusalReason.POINTER, "CURRENT does not hold a generation id"),
    ],
)
def test_a_start_with_bad_generations_alone_waits_for_the_next(
    artifacts: Artifacts,
    watched: Watched,
    caplog: pytest.LogCaptureFixture,
    what: str,
    reason: RefusalReason,
    words: str,
) -> None:
    """What is wrong is counted, told and logged with what to do; the next generation
    that is fit goes live by itself.
    """
    for number in (1, 2):
        artifacts.damage(artifacts.publish(made_at(number, 30)))
    if what == "missing":
        artifacts.use(UNKNOWN_ID)
    if what == "rubbish":
        (artifacts.root / "CURRENT").write_text("rubbish")

    assert watched.watcher.load_first() is False
    for _ in range(3):
        watched.watcher.poll()

    assert watched.live_id is None
    assert words in watched.watcher.last_refusal
    assert watched.refusals(reason) == 1
    assert watched.registry.get_sample_value("freshet_server_newest_refused") == 1
    assert caplog.text.count("waiting_for_fit_generation") == 1
    assert f"--artifacts {artifacts.root}` makes one" in caplog.text

    third = artifacts.publish(made_at(3, 30))
    watched.watcher.poll()
    assert watched.live_id == third
    assert watched.watcher.last_refusal == ""
    assert watched.registry.get_sample_value("freshet_server_newest_refused") == 0


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EMFILE, "Too many open files; this process reached its limit of"),
        (errno.EACCES, "item_ids: Permission denied; the rights do not allow it"),
        (errno.EIO, "item_ids: Input/output error"),
    ],
)
def test_a_good_generation_that_this_machine_cannot_read_is_not_made_again(
    artifacts: Artifacts,
    watched: Watched,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: int,
    words: str,
) -> None:
    """What the system refuses is named with what to do; training would not help."""
    first = artifacts.publish(make_catalogue(30, ["lamp"]))
    name = None if number == errno.EMFILE else "item_ids"

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), name)

    with monkeypatch.context() as patch:
        patch.setattr("server.live.open_verified", fail)
        assert watched.watcher.load_first() is False
    assert watched.watcher.last_refusal.startswith(words)
    assert "waiting_for_fit_generation" in caplog.text
    assert "freshet train" not in caplog.text

    watched.clock.seconds += 1
    watched.watcher.poll()
    assert watched.live_id == first


def test_a_flip_during_the_first_load_is_followed(
    artifacts: Artifacts, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A generation pruned while the server starts is no error when `CURRENT` names
    another by then.
    """
    pruned = artifacts.publish(make_catalogue(30, ["lamp"]))
    second = artifacts.write(make_catalogue(40, ["lamp"]))
    current_id = artifacts.store.current_id

    def current_id_then_flip() -> str | None:
        found = current_id()
        artifacts.use(second)
        shutil.rmtree(artifacts.store.generation_path(pruned), ignore_errors=True)
        return found

    monkeypatch.setattr(artifacts.store, "current_id", current_id_then_flip)

    assert watched.watcher.load_first() is True
    assert watched.live_id == second


def test_the_thread_follows_by_itself(artifacts: Artifacts, watched: Watched) -> None:
    """Once started, flips are followed until it is stopped."""
    watched.watcher.start()
    first = artifacts.publish(make_catalogue(30, ["lamp"]))
    wait_until(lambda: watched.live_id == first, "the first generation is live")
    second = artifacts.publish(make_catalogue(40, ["lamp"]))
    wait_until(lambda: watched.live_id == second, "the second generation is live")

    watched.watcher.stop()

    assert watched.watcher.stopped
