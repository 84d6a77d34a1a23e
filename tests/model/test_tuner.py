"""The periodic loop over a real store."""

import errno
import itertools
import logging
import math
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from model.artifact.generation import Generation, open_generation
from model.artifact.overlay import wanted
from model.artifact.store import ArtifactStore, Pin
from model.metrics import TunerMetrics
from model.publishing.refresh import SnapshotInput, train_and_publish
from model.publishing.turn import training_turn
from model.settings import ModelSettings
from model.tuner import Snapshots, TunerEvent, run_tuner
from stream.errors import StoreBusy
from stream.events.types import CatalogItem, Interaction
from stream.reading.reader import open_graph
from stream.reading.snapshot import take_snapshot
from stream.settings import StreamSettings
from testing.small_shop import COLOURS, KINDS, NOW_MS, click, fill_store, shop_events, shop_items


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a store with the shop in it."""
    fill_store(tmp_path / "store", shop_events(400), shop_items())
    return tmp_path / "store"


@pytest.fixture
def registry() -> CollectorRegistry:
    """Return a registry of this test's own."""
    return CollectorRegistry()


@pytest.fixture
def snapshots(root: Path, tmp_path: Path) -> Snapshots:
    """Return a source of fresh snapshots of the store."""
    return snapshots_of(root, tmp_path)


def snapshots_of(root: Path, work: Path) -> Snapshots:
    """Return a source of fresh snapshots of a store, kept below `work`."""
    numbers = itertools.count()

    @contextmanager
    def take() -> Iterator[SnapshotInput]:
        path = work / f"snapshot-{next(numbers)}"
        info = take_snapshot(root, path, StreamSettings(), NOW_MS)
        with open_graph(path, StreamSettings()) as graph:
            yield SnapshotInput(snapshot=info, arrays=graph.arrays())

    return take


class Run:
    """Runs the tuner without pauses until it has told of so many ends of runs."""

    def __init__(
        self, artifacts: ArtifactStore, settings: ModelSettings, registry: CollectorRegistry
    ) -> None:
        self.events: list[TunerEvent] = []
        self._artifacts = artifacts
        self.settings = replace(settings, tune_every_seconds=0.1)
        self._metrics = TunerMetrics(registry)

    def until(
        self,
        num_ends: int,
        snapshots: Callable[[], AbstractContextManager[SnapshotInput]],
        after: Callable[[TunerEvent], None] = lambda _: None,
        **changes: float,
    ) -> list[str]:
        """Return the kinds of the events that were told."""
        stop = threading.Event()
        self.events = []

        def tell(event: TunerEvent) -> None:
            self.events.append(event)
            after(event)
            if sum(each.kind != "training" for each in self.events) >= num_ends:
                stop.set()

        settings = replace(self.settings, **changes)  # type: ignore[arg-type]
        run_tuner(snapshots, self._artifacts, settings, self._metrics, stop, tell)
        return [event.kind for event in self.events]


@pytest.fixture
def run(artifacts: ArtifactStore, settings: ModelSettings, registry: CollectorRegistry) -> Run:
    """Return a tuner over the test's artifact folder."""
    return Run(artifacts, settings, registry)


def test_the_first_run_trains_and_the_next_finds_nothing_new(
    run: Run, snapshots: Snapshots, artifacts: ArtifactStore, registry: CollectorRegistry
) -> None:
    """Unchanged facts publish nothing, and count as a success."""
    kinds = run.until(2, snapshots)

    assert kinds == ["training", "published", "unchanged"]
    assert artifacts.generation_ids() == [artifacts.current_id()]
    assert {event.generation_id for event in run.events[1:]} == {artifacts.current_id()}
    sample = registry.get_sample_value
    assert sample("freshet_tuner_runs_total", {"outcome": "published"}) == 1
    assert sample("freshet_tuner_runs_total", {"outcome": "unchanged"}) == 1
    assert sample("freshet_tuner_last_success_timestamp_seconds") > 0  # type: ignore[operator]
    assert sample("freshet_tuner_every_seconds") == 0.1
    assert (
        sample("freshet_tuner_generation_info", {"generation": artifacts.current_id() or ""}) == 1
    )


def test_another_training_is_waited_for(
    run: Run,
    snapshots: Snapshots,
    artifacts: ArtifactStore,
    registry: CollectorRegistry,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is no failure, and what that one published is the parent of the next."""
    monkeypatch.setattr("model.tuner._LOOK_SECONDS", 0.001)
    turn = training_turn(artifacts.root)
    turn.__enter__()
    kinds: list[str] = []
    tuner = threading.Thread(target=lambda: kinds.extend(run.until(1, snapshots)))
    with caplog.at_level(logging.WARNING, "model"):
        tuner.start()
        while "waiting for another training" not in caplog.text:
            pass
        assert run.events == []
        with snapshots() as source:
            by_hand = train_and_publish(source, artifacts, run.settings)
        turn.__exit__(None, None, None)
        tuner.join()

    assert kinds == ["unchanged"]
    assert artifacts.generation_ids() == [by_hand]
    assert registry.get_sample_value("freshet_tuner_failures_in_a_row") == 0


def test_new_facts_are_learned_from_the_live_generation_on(
    run: Run, root: Path, snapshots: Snapshots, artifacts: ArtifactStore
) -> None:
    """The child names its parent, and knows the new item."""

    def add_facts(event: TunerEvent) -> None:
        if event.kind == "published" and len(artifacts.generation_ids()) == 1:
            fill_store(root, [click(10**9 + n, f"n{n}", "teapot", "teapot-red") for n in range(5)])

    kinds = run.until(2, snapshots, after=add_facts)

    assert kinds == ["training", "published"] * 2
    first, second = artifacts.generation_ids()
    assert artifacts.current_id() == second
    assert artifacts.manifest(second).parent == first
    assert artifacts.manifest(second).num_items == artifacts.manifest(first).num_items + 1


def test_a_generation_is_verified_once(
    run: Run,
    root: Path,
    snapshots: Snapshots,
    artifacts: ArtifactStore,
    settings: ModelSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that the tuner found is verified.

    One that it wrote itself, or verified already, is not again.
    """
    with snapshots() as source:
        by_hand = train_and_publish(source, artifacts, settings)
    verified: list[tuple[str, bool]] = []

    def open_and_tell(path: Path, *, verify: bool = True) -> Generation:
        verified.append((path.name, verify))
        return open_generation(path, verify=verify)

    monkeypatch.setattr("model.tuner.open_generation", open_and_tell)
    monkeypatch.setattr("model.publishing.publish.open_generation", open_and_tell)

    def add_facts(event: TunerEvent) -> None:
        if event.kind == "unchanged" and len(artifacts.generation_ids()) == 1:
            fill_store(root, [click(10**9 + n, f"n{n}", "teapot", "teapot-red") for n in range(5)])

    assert run.until(3, snapshots, after=add_facts) == [
        "unchanged",
        "training",
        "published",
        "unchanged",
    ]
    _, written = artifacts.generation_ids()
    assert verified == [(by_hand, True), (by_hand, False), (written, False)]


def test_a_damaged_generation_is_no_warm_start(
    run: Run, snapshots: Snapshots, artifacts: ArtifactStore, settings: ModelSettings
) -> None:
    """The tuner begins from scratch."""
    with snapshots() as source:
        by_hand = train_and_publish(source, artifacts, settings)
    path = artifacts.generation_path(by_hand) / "item_vectors.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"x")

    assert run.until(1, snapshots) == ["training", "published"]
    assert artifacts.manifest(artifacts.current_id() or "").parent == ""


def test_a_changed_catalogue_is_a_reason_to_train(
    run: Run, root: Path, snapshots: Snapshots, artifacts: ArtifactStore
) -> None:
    """An item that becomes unavailable leaves the index, though no fact is new."""

    def sell_out(event: TunerEvent) -> None:
        if event.kind == "published" and len(artifacts.generation_ids()) == 1:
            fill_store(root, [], [replace(shop_items()[0], available=False)])

    run.until(2, snapshots, after=sell_out)

    first, second = artifacts.generation_ids()
    assert artifacts.manifest(second).num_indexed == artifacts.manifest(first).num_indexed - 1


def test_changed_settings_are_a_reason_to_train(
    run: Run, snapshots: Snapshots, artifacts: ArtifactStore
) -> None:
    """A new dimension takes effect at once; a new budget does not matter."""
    run.until(1, snapshots)

    assert run.until(1, snapshots, budget_seconds=100.0) == ["unchanged"]
    assert run.until(1, snapshots, dim=8) == ["training", "published"]
    assert artifacts.manifest(artifacts.current_id() or "").model["dim"] == "8"


def test_an_empty_store_fails_until_there_are_facts(
    run: Run, tmp_path: Path, artifacts: ArtifactStore, registry: CollectorRegistry
) -> None:
    """Each failure is counted by its reason; the next period tries again."""
    root = tmp_path / "empty"
    fill_store(root, [])

    in_a_row: list[float | None] = []

    def fill(event: TunerEvent) -> None:
        in_a_row.append(registry.get_sample_value("freshet_tuner_failures_in_a_row"))
        if event.kind == "failed" and sum(each.kind == "failed" for each in run.events) == 2:
            fill_store(root, shop_events(400), shop_items())

    kinds = run.until(3, snapshots_of(root, tmp_path), after=fill)

    assert [kind for kind in kinds if kind != "training"] == ["failed", "failed", "published"]
    assert "nothing to learn from" in run.events[1].detail
    sample = registry.get_sample_value
    assert sample("freshet_tuner_failures_total", {"reason": "TrainingRefused"}) == 2
    last = {"reason": "TrainingRefused", "detail": " ".join(run.events[1].detail.split())}
    assert sample("freshet_tuner_last_failure_info", last) == 1
    assert in_a_row == [0, 1, 1, 2, 2, 0]
    assert sample("freshet_tuner_run_started_timestamp_seconds") == 0
    assert sample("freshet_tuner_active_items") == len(shop_items())
    assert sample("freshet_tuner_last_failure_timestamp_seconds") > 0  # type: ignore[operator]
    assert artifacts.current_id() is not None


def test_a_snapshot_that_fails_does_not_end_the_tuner(run: Run, snapshots: Snapshots) -> None:
    """The store is busy once."""
    calls: list[int] = []

    @contextmanager
    def sometimes() -> Iterator[SnapshotInput]:
        calls.append(1)
        if len(calls) == 1:
            raise StoreBusy("the store is open in another process")
        with snapshots() as source:
            yield source

    assert run.until(2, sometimes) == ["failed", "training", "published"]


def test_a_disk_that_fails_does_not_end_the_tuner(run: Run, snapshots: Snapshots) -> None:
    """No room for the snapshot, once."""
    calls: list[int] = []

    @contextmanager
    def sometimes() -> Iterator[SnapshotInput]:
        calls.append(1)
        if len(calls) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        with snapshots() as source:
            yield source

    assert run.until(2, sometimes) == ["failed", "training", "published"]


def test_a_stop_ends_a_training_at_once(
    run: Run, snapshots: Snapshots, artifacts: ArtifactStore
) -> None:
    """Between two steps; nothing is published and nothing counts as failed."""
    stop = threading.Event()
    events: list[TunerEvent] = []

    def stop_when_training(event: TunerEvent) -> None:
        events.append(event)
        stop.set()

    settings = replace(run.settings, max_passes=10_000, patience=10_000)
    run_tuner(snapshots, artifacts, settings, run._metrics, stop, stop_when_training)

    assert [event.kind for event in events] == ["training"]
    assert artifacts.generation_ids() == []


def test_one_training_by_hand_is_published(
    snapshots: Snapshots, artifacts: ArtifactStore, settings: ModelSettings
) -> None:
    """What `freshet train` does."""
    with snapshots() as source:
        generation_id = train_and_publish(source, artifacts, settings)

    assert artifacts.current_id() == generation_id
    assert artifacts.manifest(generation_id).snapshot.graph_hash == source.snapshot.graph_hash


def test_the_tuner_looks_again_soon_until_a_first_generation_is_live(
    artifacts: ArtifactStore,
    settings: ModelSettings,
    registry: CollectorRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whenever the first events come, nothing has to wait for a whole period; then the
    period counts.
    """
    monkeypatch.setattr("model.tuner._FIRST_PAUSE_SECONDS", 8.0)
    monkeypatch.setattr("model.tuner._LONGEST_FIRST_PAUSE_SECONDS", 10.0)
    monkeypatch.setattr("model.tuner._LOOK_SECONDS", 86_400.0)
    fill_store(tmp_path / "empty", [], shop_items())
    fill_store(tmp_path / "full", shop_events(400), shop_items())
    roots = iter([tmp_path / "empty"] * 3 + [tmp_path / "full"])
    pauses: list[float] = []

    def take() -> AbstractContextManager[SnapshotInput]:
        return snapshots_of(next(roots), tmp_path / f"{len(pauses)}")()

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            pauses.append(timeout or 0.0)
            if len(pauses) == 4:
                self.set()
            return self.is_set()

    run_tuner(
        take,
        artifacts,
        replace(settings, tune_every_seconds=3600.0),
        TunerMetrics(registry),
        Stop(),
    )

    assert pauses[:3] == [8.0, 10.0, 10.0]
    assert pauses[3] > 1800.0


def test_a_first_failure_is_tried_again_after_a_minute(
    run: Run,
    artifacts: ArtifactStore,
    settings: ModelSettings,
    registry: CollectorRegistry,
    snapshots: Snapshots,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whether it was chance is known soon; from the second on the period counts."""
    run.until(1, snapshots)
    monkeypatch.setattr("model.tuner._LOOK_SECONDS", 86_400.0)
    pauses: list[float] = []

    def take() -> AbstractContextManager[SnapshotInput]:
        raise StoreBusy("the store is open in another process")

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            pauses.append(timeout or 0.0)
            if len(pauses) == 2:
                self.set()
            return self.is_set()

    run_tuner(
        take,
        artifacts,
        replace(settings, tune_every_seconds=3600.0),
        TunerMetrics(CollectorRegistry()),
        Stop(),
    )

    assert pauses[0] == 60.0
    assert pauses[1] > 1800.0


def test_a_folder_that_takes_nothing_is_told_before_a_training(
    run: Run, artifacts: ArtifactStore, snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training whose result cannot be kept is not begun, and the next run trains."""
    calls: list[int] = []
    check = ArtifactStore.check_writable

    def once(store: ArtifactStore) -> None:
        calls.append(1)
        if len(calls) == 1:
            store = ArtifactStore(Path("/proc/self"))  # where nobody makes a file
        check(store)

    monkeypatch.setattr(ArtifactStore, "check_writable", once)

    assert run.until(2, snapshots) == ["failed", "training", "published"]
    assert "cannot be written below" in run.events[0].detail
    assert not list(artifacts.root.glob(".writable-*"))


def test_a_generation_that_is_wanted_early_is_begun_early(
    run: Run, snapshots: Snapshots, artifacts: ArtifactStore, registry: CollectorRegistry
) -> None:
    """Long before the period is over, once, and counted by its reason."""

    def want_one(event: TunerEvent) -> None:
        if event.kind == "published":
            wish = wanted.Wanted(reason=wanted.EarlyReason.DRIFT, detail="by a lot", at_ms=NOW_MS)
            wanted.ask(artifacts.root, wish)

    kinds = run.until(2, snapshots, after=want_one, tune_every_seconds=86_400.0)

    assert kinds == ["training", "published", "unchanged"]
    assert wanted.asked(artifacts.root) is None
    assert registry.get_sample_value("freshet_tuner_early_runs_total", {"reason": "drift"}) == 1


def test_a_wish_that_cannot_be_withdrawn_is_not_fulfilled_without_end(
    run: Run,
    snapshots: Snapshots,
    artifacts: ArtifactStore,
    registry: CollectorRegistry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The period goes on as if nobody had asked."""

    def refuse(_: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    wish = wanted.Wanted(reason=wanted.EarlyReason.DRIFT, detail="", at_ms=NOW_MS)
    wanted.ask(artifacts.root, wish)
    monkeypatch.setattr(wanted, "withdraw", refuse)

    kinds = run.until(2, snapshots)

    assert kinds == ["training", "published", "unchanged"]
    assert registry.get_sample_value("freshet_tuner_early_runs_total", {"reason": "drift"}) is None


def test_how_many_items_their_titles_find_is_told_of_the_live_generation(
    run: Run, tmp_path: Path, artifacts: ArtifactStore, registry: CollectorRegistry
) -> None:
    """As its manifest has it, whether it was made now or before."""
    unclicked = [
        CatalogItem(item_id=f"tin-{number}", title=f"Tin {word} {number}")
        for number, word in enumerate(("robot", "rocket", "duck") * 8)
    ]
    fill_store(tmp_path / "wide", shop_events(400), [*shop_items(), *unclicked])

    run.until(2, snapshots_of(tmp_path / "wide", tmp_path))

    live = artifacts.current_id()
    assert live is not None
    told = registry.get_sample_value("freshet_tuner_own_title_recall", {"generation": live})
    assert told == artifacts.manifest(live).evaluation["own_title_recall_10"]
    assert told > 0.5


def test_where_the_gate_asked_for_no_titles_nothing_is_told(
    run: Run, snapshots: Snapshots, registry: CollectorRegistry
) -> None:
    """Not a zero that would page somebody."""
    run.until(1, snapshots)

    families = {family.name: family for family in registry.collect()}
    assert not families["freshet_tuner_own_title_recall"].samples


def late_clicks(number: int, num: int, *, fitting: bool) -> list[Interaction]:
    """Return clicks of as many queries, all new: on what they name, or on anything."""
    return [
        click(
            number * 10**9 + n,
            f"n{number}-{n}",
            f"offer {number} {n} {COLOURS[n % 5]} {KINDS[n % 6]}",
            f"{KINDS[n % 6 if fitting else n // 5 % 6]}-{COLOURS[n % 5 if fitting else n % 4]}",
        )
        for n in range(num)
    ]


def newest(registry: CollectorRegistry, metric: str, bound: str) -> float:
    """Return a bound of the MRR of all queries."""
    labels = {"segment": "all", "figure": "mrr", "bound": bound}
    value = registry.get_sample_value(f"freshet_tuner_newest_clicks_{metric}", labels)
    assert value is not None
    return value


def test_the_live_generation_is_evaluated_on_what_came_after_it(
    run: Run, root: Path, snapshots: Snapshots, registry: CollectorRegistry
) -> None:
    """Each run asks before it trains; the first and few clicks tell nothing."""
    run.until(1, snapshots)
    before = newest(registry, "quality", "mean")
    fill_store(root, late_clicks(1, 20, fitting=True))
    run.until(1, snapshots)
    few = newest(registry, "quality", "mean")
    fill_store(root, late_clicks(2, 160, fitting=True))
    fill_store(root, late_clicks(3, 40, fitting=False))
    run.until(1, snapshots)

    sample = registry.get_sample_value
    assert math.isnan(before)
    assert math.isnan(few)
    assert sample("freshet_tuner_newest_clicks_queries", {"segment": "all"}) == 200
    assert sample("freshet_tuner_newest_clicks_queries", {"segment": "known"}) == 0
    assert 0.3 < newest(registry, "quality", "low") < newest(registry, "quality", "high") <= 1
    outcomes = {
        name: sample("freshet_tuner_evaluations_total", {"outcome": name})
        for name in ("nothing_new", "too_few", "judged", "failed")
    }
    assert outcomes == {"nothing_new": 1, "too_few": 1, "judged": 1, "failed": 0}


def test_answers_that_got_worse_are_told_of_also_after_a_restart(
    run: Run,
    root: Path,
    snapshots: Snapshots,
    artifacts: ArtifactStore,
    settings: ModelSettings,
) -> None:
    """What generations before answered is on disk: another process compares with it."""
    run.until(1, snapshots)
    for number in (1, 2):
        fill_store(root, late_clicks(number, 200, fitting=number == 1))
        registry = CollectorRegistry()
        Run(artifacts, settings, registry).until(1, snapshots)

    assert newest(registry, "change", "mean") < -0.3
    assert newest(registry, "change", "high") < -0.05


def test_an_evaluation_that_fails_keeps_no_generation_back(
    run: Run,
    root: Path,
    snapshots: Snapshots,
    artifacts: ArtifactStore,
    registry: CollectorRegistry,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is counted and logged."""
    run.until(1, snapshots)
    (artifacts.root / "newest_clicks.json").mkdir()
    fill_store(root, late_clicks(1, 5, fitting=True))

    assert run.until(1, snapshots) == ["training", "published"]
    assert registry.get_sample_value("freshet_tuner_evaluation_failures_in_a_row") == 1
    assert "live generation not evaluated" in caplog.text


@pytest.mark.parametrize(("every_seconds", "has_all"), [(math.inf, False), (0.0, True)])
def test_a_training_is_logged_while_it_runs(
    every_seconds: float,
    has_all: bool,
    run: Run,
    snapshots: Snapshots,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What it is about at its begin, then its first pass, and one every so often."""
    caplog.set_level(logging.INFO, "model.tuner")
    monkeypatch.setattr("model.tuner._LOG_EVERY_SECONDS", every_seconds)
    run.until(1, snapshots)
    begun, first, *further, done = caplog.messages

    assert re.fullmatch(r"training begun queries=\d+ items=\d+ budget=\d+s parent=none", begun)
    assert re.fullmatch(
        r"training passes=1 of=\d+ loss=\d\.\d+ best_mrr=[01]\.\d+ seconds=\d+", first
    )
    assert bool(further) == has_all
    assert all(line.startswith("training passes=") for line in further)
    assert done.startswith("tuning done outcome=published")


def test_an_evaluation_logs_the_figures_that_are_known(
    run: Run, root: Path, snapshots: Snapshots, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither a level of too few queries, nor a change from nothing."""
    caplog.set_level(logging.INFO, "model.live_quality")
    run.until(1, snapshots)
    for number, count in ((1, 5), (2, 200)):
        fill_store(root, late_clicks(number, count, fitting=True))
        run.until(1, snapshots)
    few, enough = caplog.messages

    assert "mrr=" not in few
    assert " mrr=" in enough
    assert "nan" not in few + enough


def test_evaluation_can_be_switched_off(
    run: Run, snapshots: Snapshots, artifacts: ArtifactStore, registry: CollectorRegistry
) -> None:
    """No file, no figure; and it is no reason to train again."""
    assert run.until(1, snapshots, evaluated_queries=0) == ["training", "published"]
    families = {family.name: family for family in registry.collect()}
    assert not families["freshet_tuner_newest_clicks_quality"].samples
    assert run.until(1, snapshots, evaluated_queries=5) == ["unchanged"]


def test_a_refresh_tells_how_far_it_went(
    run: Run,
    root: Path,
    snapshots: Snapshots,
    artifacts: ArtifactStore,
    registry: CollectorRegistry,
) -> None:
    """First pages and cosines of the live generation, as its manifest has them."""
    run.until(1, snapshots)
    sample = registry.get_sample_value
    overlap = sample("freshet_tuner_first_page_overlap")
    assert overlap is not None
    assert math.isnan(overlap)
    assert sample("freshet_tuner_item_cosine", {"statistic": "worst"}) is None
    fill_store(root, late_clicks(1, 20, fitting=True))
    run.until(1, snapshots)

    found = artifacts.manifest(artifacts.current_id() or "").evaluation
    assert sample("freshet_tuner_first_page_overlap") == found["first_page_overlap"] > 0.3
    worst = sample("freshet_tuner_item_cosine", {"statistic": "worst"})
    assert worst == found["item_cosine_worst"]
    assert sample("freshet_tuner_item_cosine", {"statistic": "mean"}) == found["item_cosine_mean"]


def test_nothing_goes_live_while_one_is_pinned(
    run: Run,
    root: Path,
    snapshots: Snapshots,
    artifacts: ArtifactStore,
    registry: CollectorRegistry,
) -> None:
    """The tuner publishes all the same, each from the one before, trains nothing twice,
    tells of the pin, and what comes after it goes live.
    """
    run.until(1, snapshots)
    pinned = artifacts.current_id() or ""
    artifacts.set_pin(Pin(generation_id=pinned, since_ms=artifacts.manifest(pinned).created_ms))

    def add_facts(number: int) -> None:
        fill_store(
            root,
            [click(number * 10**9 + n, f"n{number}-{n}", "teapot", "teapot-red") for n in range(5)],
        )

    add_facts(1)
    kinds = run.until(2, snapshots)
    add_facts(2)
    kinds += run.until(1, snapshots, keep_generations=1)

    assert kinds == ["training", "pinned", "unchanged", "training", "pinned"]
    assert {event.generation_id for event in run.events} == {pinned}
    assert artifacts.current_id() == pinned
    first, newest = artifacts.generation_ids()
    assert first == pinned  # kept, although only the newest is
    since = registry.get_sample_value(
        "freshet_tuner_pinned_timestamp_seconds", {"generation": pinned}
    )
    assert since == artifacts.manifest(pinned).created_ms / 1000
    assert registry.get_sample_value("freshet_tuner_runs_total", {"outcome": "pinned"}) == 2
    parent = artifacts.manifest(newest).parent
    assert parent not in ("", pinned)

    artifacts.set_pin(None)
    assert run.until(1, snapshots) == ["training", "published"]
    assert artifacts.manifest(artifacts.current_id() or "").parent == pinned
    assert (
        registry.get_sample_value("freshet_tuner_pinned_timestamp_seconds", {"generation": pinned})
        is None
    )
