"""The live view: what it takes of overlays, what it refuses, and when it swaps."""

import shutil
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import json_format
from prometheus_client import CollectorRegistry

from model.artifact.overlay.encoding import encode_segment
from model.artifact.overlay.folder import OverlayFolder
from model.artifact.overlay.gone import GoneList
from model.artifact.overlay.publisher import OverlayPublisher
from model.artifact.overlay.segment import Claim, Mark, OverlayRows, Segment, StageTimes, no_rows
from protos import manifest_v1_pb2 as manifest_pb
from server.live import LiveGeneration
from server.metrics.answering import ServerMetrics
from server.metrics.overlay import OverlayMetrics
from server.overlay.view import LiveView
from server.retrieve import RetrievalQuery, retrieve
from server.settings import ServerSettings
from server.swaps.loader import Loader
from server.swaps.refusals import RefusalReason
from server.swaps.watcher import GenerationWatcher
from server.views import LiveViews
from stream.dtypes import Float32s
from testing.overlays import overlay_rows, random_units
from testing.retrieval_server import wait_until
from testing.small_generations import DIM, NOW_MS, Artifacts, make_catalogue

RANDOM = np.random.default_rng(11)
WAIT_SECONDS = 30.0


@dataclass
class Clock:
    """A clock that a test moves: seconds for waits, milliseconds for times."""

    seconds: float = 0.0

    def __call__(self) -> float:
        """Return the seconds since the beginning."""
        return self.seconds

    def now_ms(self) -> int:
        """Return the time now."""
        return NOW_MS + int(1000 * self.seconds)


@dataclass
class Shop:
    """An artifacts folder, who writes it, and the views that follow it."""

    artifacts: Artifacts
    views: LiveViews
    watcher: GenerationWatcher
    registry: CollectorRegistry
    clock: Clock
    went_live: list[str] = field(default_factory=list)

    @property
    def folder(self) -> OverlayFolder:
        """The overlays."""
        return OverlayFolder.of(self.artifacts.root)

    @property
    def view(self) -> LiveView:
        """The live view."""
        assert self.views.live is not None
        return self.views.live

    def generation(self, *, at_ms: int = 0, marks: dict[int, Mark] | None = None) -> str:
        """Write a generation and make it current; one later than those before."""
        count = len(self.artifacts.store.generation_ids())
        catalogue = make_catalogue(30, ["lamp"])
        catalogue.created_ms = NOW_MS + 1000 * count
        catalogue.taken_ms = at_ms or NOW_MS - 30_000 + count
        generation_id = self.artifacts.write(catalogue)
        if marks is not None:
            self._record(generation_id, marks)
        self.artifacts.use(generation_id)
        return generation_id

    def _record(self, generation_id: str, marks: dict[int, Mark]) -> None:
        path = self.artifacts.store.generation_path(generation_id) / "manifest.json"
        manifest = json_format.Parse(path.read_text(), manifest_pb.Generation())
        for shard, mark in marks.items():
            manifest.snapshot.shards.add(shard=shard, writer=mark.writer, sequence=mark.sequence)
        path.write_text(json_format.MessageToJson(manifest, preserving_proto_field_name=True))

    def publisher(self, generation_id: str) -> OverlayPublisher:
        """Return a refresher's writer that starts now."""
        gone = GoneList(self.folder.gone_path)
        return OverlayPublisher(self.folder, generation_id, DIM, gone, clock_ms=self.clock.now_ms)

    def poll(self) -> None:
        """Follow everything once."""
        self.watcher.poll()
        self.views.poll()

    def refused(self, reason: str) -> float | None:
        """How many tries were refused for a reason."""
        labels = {"reason": reason}
        return self.registry.get_sample_value("freshet_server_overlay_refused_total", labels)

    def value(self, name: str) -> float | None:
        """Return a metric."""
        return self.registry.get_sample_value(name)

    def shows(self, item: str) -> bool:
        """Whether an item is in the answer that has all."""
        answer = retrieve(self.view, RetrievalQuery(query="lamp", k=1000))
        return item in answer.item_ids


@pytest.fixture
def shop(artifacts: Artifacts) -> Shop:
    """A shop without a generation yet."""
    return shop_of(artifacts)


def shop_of(artifacts: Artifacts) -> Shop:
    """Return the views of a server that starts now."""
    registry, clock, went_live = CollectorRegistry(), Clock(), list[str]()
    settings = ServerSettings(
        watch_every_seconds=0.01, overlay_every_seconds=0.01, overlay_wait_seconds=WAIT_SECONDS
    )
    metrics, overlay_metrics = ServerMetrics(registry, RefusalReason), OverlayMetrics(registry)
    views = LiveViews(
        OverlayFolder.of(artifacts.root),
        settings,
        metrics,
        overlay_metrics,
        on_live=lambda: went_live.append("live"),
        clock_ms=clock.now_ms,
        monotonic=clock,
    )
    overlay_metrics.watch(lambda: views.live, clock.now_ms)
    watcher = GenerationWatcher(
        artifacts.store,
        views,
        settings,
        metrics,
        Loader(settings, clock_ms=clock.now_ms),
        monotonic=clock,
    )
    return Shop(artifacts, views, watcher, registry, clock, went_live)


def new_item(name: str) -> OverlayRows:
    """Return rows with one item."""
    return overlay_rows(DIM, items={name: random_units(RANDOM, 1, DIM)[0]})


def claim(reflected_ms: int, mark: Mark | None = None) -> Claim:
    """Return a claim, with a mark of shard 0."""
    return Claim(reflected_ms=reflected_ms, marks={} if mark is None else {0: mark})


def test_segments_load_before_the_server_is_ready(shop: Shop) -> None:
    """A server that starts answers as fresh as one that has run on."""
    publisher = shop.publisher(shop.generation())
    publisher.publish(new_item("a"), claim(5))
    publisher.publish(new_item("b"), claim(6))
    ready_with: list[int] = []
    shop.views._on_live = lambda: ready_with.append(shop.view.overlay.sequence)

    assert shop.watcher.load_first()

    assert ready_with == [2]
    assert (shop.shows("a"), shop.shows("b")) == (True, True)
    assert shop.view.claim.reflected_ms == 6


def test_deltas_and_claims_are_followed(shop: Shop) -> None:
    """Each poll takes what is new, and a pointer that is only renewed makes answers
    fresher, too.
    """
    publisher = shop.publisher(shop.generation())
    shop.watcher.load_first()
    assert shop.view.claim.reflected_ms == 0

    seen = []
    for step in range(4):
        publisher.publish(new_item(f"item {step}"), claim(10 * step + 1))
        shop.poll()
        publisher.renew(claim(10 * step + 2))
        shop.poll()
        seen.append((shop.view.overlay.sequence, shop.view.claim.reflected_ms))

    # Deltas are three times the first segment by then, and are merged to a fifth.
    assert seen == [(1, 2), (2, 12), (3, 22), (5, 32)]
    assert all(shop.shows(f"item {step}") for step in range(4))
    assert shop.views.last_refusal == ""
    assert shop.value("freshet_server_overlay_sequence") == 5


def test_what_is_only_merged_is_not_read_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that has all of a merged segment goes on behind it, without a look."""
    live = shop.generation()
    publisher, merge = shop.publisher(live), OverlayPublisher._merge

    def merge_what_is_served(writer: OverlayPublisher, newest: Segment) -> None:
        shop.poll()
        merge(writer, newest)
        shop.folder.segment_path(live, newest.sequence + 1).write_bytes(b"unread")

    monkeypatch.setattr(OverlayPublisher, "_merge", merge_what_is_served)
    shop.watcher.load_first()
    for step in range(6):
        publisher.publish(new_item(f"item {step}"), claim(step + 1))
        shop.poll()

    assert all(shop.shows(f"item {step}") for step in range(6))
    assert shop.views.last_refusal == ""
    assert shop.view.overlay.sequence == publisher.sequence == 7
    assert shop.view.claim.reflected_ms == 6


def test_a_view_never_changes_under_its_reader(shop: Shop) -> None:
    """A request that took it answers from it to the end."""
    publisher = shop.publisher(shop.generation())
    shop.watcher.load_first()
    before = shop.view
    publisher.publish(new_item("new"), claim(1))

    shop.poll()

    answer = retrieve(before, RetrievalQuery(query="lamp", k=1000))
    assert "new" not in answer.item_ids
    assert shop.shows("new")


def broken_byte(path: Path) -> None:
    """Flip a byte in the middle."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def torn(path: Path) -> None:
    """Leave half of it."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def a_folder(path: Path) -> None:
    """Put something in its place that cannot be read."""
    path.unlink()
    path.mkdir()


def rewritten(change: Callable[[Segment], Segment]) -> Callable[[Path], None]:
    """Return what puts another segment with a right checksum in its place."""

    def write(path: Path) -> None:
        folder = OverlayFolder(path.parent.parent)
        segment = folder.segment(path.parent.name, int(path.stem), dim=DIM)
        path.write_bytes(encode_segment(change(segment)))

    return write


def with_vectors(values: float) -> Callable[[Segment], Segment]:
    """Return a change that makes all item vectors of one value."""
    return lambda segment: replace(
        segment,
        rows=replace(segment.rows, item_vectors=np.full_like(segment.rows.item_vectors, values)),
    )


BREAKS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "torn": ("torn", torn),
    "flipped byte": ("corrupt", broken_byte),
    "missing": ("missing", lambda path: path.unlink()),
    "other generation": (
        "generation",
        rewritten(lambda segment: replace(segment, generation_id="20200101T000000Z-000000")),
    ),
    "other dim": ("dim", rewritten(lambda segment: replace(segment, rows=no_rows(DIM + 1)))),
    "NaN": ("vectors", rewritten(with_vectors(np.nan))),
    "infinite": ("vectors", rewritten(with_vectors(np.inf))),
    "no unit": ("vectors", rewritten(with_vectors(1.0))),
    "other number": ("sequence", rewritten(lambda segment: replace(segment, sequence=9))),
    "other writer": ("writer", rewritten(lambda segment: replace(segment, writer="another"))),
    "a folder": ("io", a_folder),
}


@pytest.mark.parametrize("name", list(BREAKS))
def test_a_segment_that_is_not_fit_changes_nothing(shop: Shop, name: str) -> None:
    """It is refused with the reason, counted, and named; answers and their claim stay,
    and a full segment mends it.
    """
    reason, break_it = BREAKS[name]
    generation_id = shop.generation()
    publisher = shop.publisher(generation_id)
    publisher.publish(new_item("good"), claim(1))
    shop.watcher.load_first()
    before = shop.view
    publisher.publish(new_item("bad"), claim(2))
    break_it(shop.folder.segment_path(generation_id, 2))

    for _ in range(5):
        shop.poll()

    assert shop.view.overlay is before.overlay
    assert shop.view.claim.reflected_ms == 1
    assert shop.refused(reason) == 1
    assert "2.segment" in shop.views.last_refusal or generation_id in shop.views.last_refusal
    publisher.renew(claim(3))
    shop.clock.seconds += 1
    shop.poll()
    assert shop.refused(reason) == 2
    assert shop.view.claim.reflected_ms == 1

    shop.publisher(generation_id).publish(new_item("mended"), claim(4))
    shop.poll()
    assert shop.shows("mended")
    assert shop.view.claim.reflected_ms == 4
    assert shop.views.last_refusal == ""


def test_deltas_before_one_that_is_not_fit_are_taken(shop: Shop) -> None:
    """With the claim that they make, and not the pointer's."""
    generation_id = shop.generation()
    publisher = shop.publisher(generation_id)
    publisher.publish(overlay_rows(DIM, items=many_items(9)), claim(1))
    shop.watcher.load_first()
    publisher.publish(new_item("second"), claim(2))
    publisher.publish(new_item("third"), claim(3))
    torn(shop.folder.segment_path(generation_id, 3))

    shop.poll()

    assert shop.shows("second")
    assert (shop.view.overlay.sequence, shop.view.claim.reflected_ms) == (2, 2)


def many_items(count: int) -> dict[str, Float32s]:
    """Return vectors of many items, so that deltas stay deltas."""
    return dict(
        zip([f"many {row}" for row in range(count)], random_units(RANDOM, count, DIM), strict=True)
    )


def test_a_gap_in_the_numbers_is_refused(shop: Shop) -> None:
    """A delta that nothing leads to."""
    generation_id = shop.generation()
    publisher = shop.publisher(generation_id)
    publisher.publish(overlay_rows(DIM, items=many_items(9)), claim(1))
    shop.watcher.load_first()
    for name in ("second", "third"):
        publisher.publish(new_item(name), claim(2))
    shop.folder.segment_path(generation_id, 2).unlink()

    shop.poll()

    assert shop.refused("missing") == 1
    assert shop.view.overlay.sequence == 1


def test_a_delta_of_an_overlay_that_is_not_loaded_is_refused(shop: Shop) -> None:
    """A server that starts cannot use it without the full one."""
    generation_id = shop.generation()
    publisher = shop.publisher(generation_id)
    segment = publisher.publish(new_item("good"), claim(1))
    path = shop.folder.segment_path(generation_id, 1)
    path.write_bytes(encode_segment(replace(segment, is_full=False)))

    assert shop.watcher.load_first()

    assert shop.refused("sequence") == 1
    assert not shop.view.overlay.is_loaded


def test_a_damaged_pointer_leaves_what_is_loaded(shop: Shop) -> None:
    """And is told until it is whole again."""
    generation_id = shop.generation()
    shop.publisher(generation_id).publish(new_item("good"), claim(1))
    shop.watcher.load_first()
    path = shop.folder.newest_path(generation_id)
    content = path.read_bytes()
    path.write_bytes(b"{")

    for _ in range(3):
        shop.poll()
    assert shop.refused("pointer") == 1
    assert "NEWEST" in shop.views.last_refusal
    assert shop.shows("good")

    path.write_bytes(content)
    shop.poll()
    assert shop.views.last_refusal == ""


def test_a_damaged_list_of_gone_items_leaves_what_is_known(shop: Shop) -> None:
    """What is gone stays gone."""
    generation_id = shop.generation()
    item = f"{generation_id}/3"
    shop.publisher(generation_id).publish(overlay_rows(DIM, gone_items=[item]), claim(1))
    shop.watcher.load_first()
    shop.folder.gone_path.write_bytes(b"damaged")

    shop.poll()

    assert not shop.shows(item)
    assert "GONE" in shop.views.last_refusal
    assert shop.refused("torn") == 1


def test_a_deletion_hides_its_item_with_the_next_poll(shop: Shop) -> None:
    """Though the generation has it, and until it is listed again."""
    generation_id = shop.generation()
    item = f"{generation_id}/3"
    publisher = shop.publisher(generation_id)
    shop.watcher.load_first()
    assert shop.shows(item)

    publisher.publish(overlay_rows(DIM, gone_items=[item]), claim(1))
    shop.poll()
    assert not shop.shows(item)
    assert (
        shop.registry.get_sample_value("freshet_server_overlay_rows", {"kind": "gone_items"}) == 1
    )

    publisher.publish(new_item(item), claim(2))
    shop.poll()
    assert shop.shows(item)


def test_what_only_hides_costs_no_look_at_what_is_held(shop: Shop) -> None:
    """And leaves what a server has that loads all of it at once."""
    live = shop.generation()
    publisher = shop.publisher(live)
    vectors = dict(zip(["a", "b"], random_units(RANDOM, 2, DIM), strict=True))
    publisher.publish(overlay_rows(DIM, items=vectors, queries=dict(vectors)), claim(1))
    shop.watcher.load_first()
    before = shop.view.overlay
    known = shop.view.live.generation.item_ids[0]

    publisher.publish(overlay_rows(DIM, gone_items=[known]), claim(2))
    shop.poll()
    hidden = shop.view.overlay
    publisher.publish(overlay_rows(DIM, gone_items=["a"]), claim(3))
    shop.poll()

    assert hidden.queries is before.queries
    assert (set(hidden.gone_ids), len(hidden.hidden)) == ({known}, 1)
    assert not shop.shows(known)
    held = shop.view.overlay
    assert (set(held.gone_ids), set(held.items)) == ({known, "a"}, {"b"})
    again = shop_of(shop.artifacts)
    again.watcher.load_first()
    assert set(again.view.overlay.queries) == set(held.queries)
    for field_name in ("sequence", "claim", "items", "gone_ids"):
        expected = getattr(again.view.overlay, field_name)
        assert getattr(shop.view.overlay, field_name) == expected
    assert again.view.overlay.rows.gone_items == shop.view.overlay.rows.gone_items
    assert again.view.overlay.shown.tolist() == shop.view.overlay.shown.tolist()


def test_deleted_items_stay_gone_over_a_restart(shop: Shop) -> None:
    """Also where the segments are lost."""
    generation_id = shop.generation()
    item = f"{generation_id}/3"
    shop.publisher(generation_id).publish(overlay_rows(DIM, gone_items=[item]), claim(1))
    shutil.rmtree(shop.folder.generation_path(generation_id))

    restarted = shop_of(shop.artifacts)
    restarted.watcher.load_first()

    assert not restarted.view.overlay.is_loaded
    assert not restarted.shows(item)


@pytest.mark.parametrize("has_list", [True, False])
def test_deleted_items_stay_gone_over_a_rollback(shop: Shop, *, has_list: bool) -> None:
    """The older generation was never told of it; also where the list is lost."""
    first = shop.generation()
    shop.watcher.load_first()
    second = shop.generation()
    shop.poll()
    items = [f"{first}/3", f"{first}/4"]
    publisher = shop.publisher(second)
    publisher.publish(overlay_rows(DIM, gone_items=items), claim(1))
    shop.poll()
    if not has_list:
        shop.folder.gone_path.unlink()

    shop.artifacts.use(first)
    shop.poll()

    assert shop.view.generation_id == first
    assert not any(shop.shows(item) for item in items)
    shop.poll()
    assert not any(shop.shows(item) for item in items)
    shop.publisher(first).publish(new_item(items[0]), claim(2))
    shop.poll()
    assert [shop.shows(item) for item in items] == [True, False]


def test_a_rollback_is_at_once_and_has_its_own_overlay(shop: Shop) -> None:
    """Somebody asked for it: its receipt says what it reflects."""
    first = shop.generation()
    shop.publisher(first).publish(new_item("old one"), claim(10))
    shop.watcher.load_first()
    second = shop.generation()
    shop.publisher(second).publish(new_item("new one"), claim(20))
    shop.poll()
    assert (shop.view.generation_id, shop.view.claim.reflected_ms) == (second, 20)

    shop.artifacts.use(first)
    shop.poll()

    assert (shop.view.generation_id, shop.view.claim.reflected_ms) == (first, 10)
    assert (shop.shows("old one"), shop.shows("new one")) == (True, False)


def test_a_newer_generation_waits_for_its_overlay(shop: Shop) -> None:
    """The old pair answers, and gets fresher, until the new one has all that it has."""
    first = shop.generation()
    old = shop.publisher(first)
    old.publish(new_item("clicked"), claim(100))
    shop.watcher.load_first()
    second = shop.generation()

    shop.poll()
    assert (shop.view.generation_id, shop.views.pending_id) == (first, second)
    old.renew(claim(110))
    shop.poll()
    assert shop.view.claim.reflected_ms == 110
    new = shop.publisher(second)
    new.publish(new_item("replayed"), claim(109))
    shop.poll()
    assert shop.view.generation_id == first
    new.renew(claim(110))
    shop.poll()

    assert (shop.view.generation_id, shop.views.pending_id) == (second, "")
    assert shop.view.claim.reflected_ms == 110
    assert shop.shows("replayed")


def test_a_newer_generation_waits_for_what_of_the_catalogue_went_ahead(shop: Shop) -> None:
    """It is shown already, and must not go for a moment."""
    first = shop.generation()
    ahead = Claim(reflected_ms=100, catalog_reflected_ms=130)
    shop.publisher(first).publish(new_item("launched"), ahead)
    shop.watcher.load_first()
    second = shop.generation()
    new = shop.publisher(second)
    new.publish(new_item("replayed"), claim(120))
    shop.poll()
    assert (shop.view.generation_id, shop.shows("launched")) == (first, True)

    new.publish(new_item("launched"), Claim(reflected_ms=120, catalog_reflected_ms=140))
    shop.poll()

    assert (shop.view.generation_id, shop.shows("launched")) == (second, True)
    assert shop.view.claim.catalog_reflected_ms == 140


def test_a_server_that_starts_is_as_fresh_as_one_that_ran_on(shop: Shop) -> None:
    """`CURRENT` names a generation that the refresher has not caught up on: the one
    before answers, with its overlay, until it has.
    """
    first = shop.generation()
    shop.publisher(first).publish(new_item("clicked"), claim(100))
    second = shop.generation()

    assert shop.watcher.load_first()
    assert (shop.view.generation_id, shop.view.claim.reflected_ms) == (first, 100)
    shop.poll()
    assert (shop.view.generation_id, shop.views.pending_id) == (first, second)
    shop.publisher(second).publish(new_item("replayed"), claim(100))
    shop.poll()
    assert shop.view.generation_id == second


@pytest.mark.parametrize("why", ["silent", "behind", "corrupt", "no overlay"])
def test_a_server_starts_with_the_wanted_generation_otherwise(shop: Shop, why: str) -> None:
    """An overlay that nobody writes any more, or that is behind, or a generation that
    is damaged, is no reason for another one.
    """
    first = shop.generation()
    if why != "no overlay":
        shop.publisher(first).publish(new_item("clicked"), claim(100))
    if why == "corrupt":
        shop.artifacts.damage(first)
    second = shop.generation()
    if why == "silent":
        shop.clock.seconds += WAIT_SECONDS + 1
    if why == "behind":
        shop.publisher(second).publish(new_item("replayed"), claim(100))

    assert shop.watcher.load_first()
    assert shop.view.generation_id == second


def test_a_generation_without_an_overlay_before_it_goes_live_at_once(shop: Shop) -> None:
    """As it does where no refresher runs."""
    shop.generation()
    shop.watcher.load_first()
    second = shop.generation()

    shop.poll()

    assert shop.view.generation_id == second


def test_a_snapshot_with_all_that_the_overlay_has_goes_live_at_once(shop: Shop) -> None:
    """Where the refresher is dead, the next training still gets through, and what was
    claimed stays true.
    """
    first = shop.generation()
    shop.publisher(first).publish(new_item("clicked"), claim(100, Mark("aa", 7)))
    shop.watcher.load_first()

    behind = shop.generation(marks={0: Mark("aa", 6)})
    shop.poll()
    assert shop.views.pending_id == behind
    other = shop.generation(marks={0: Mark("bb", 9)})
    shop.poll()
    assert shop.views.pending_id == other
    third = shop.generation(marks={0: Mark("aa", 7)})
    shop.poll()

    assert shop.view.generation_id == third
    assert shop.view.claim.reflected_ms == 100


def test_what_never_catches_up_goes_live_after_the_wait(shop: Shop) -> None:
    """With a receipt that says how fresh it is; newer generations do not begin the wait
    anew, and what was deleted stays gone.
    """
    first = shop.generation()
    item = f"{first}/3"
    shop.publisher(first).publish(overlay_rows(DIM, gone_items=[item]), claim(100))
    shop.watcher.load_first()
    shop.folder.gone_path.unlink()
    shop.generation()
    shop.poll()
    shop.clock.seconds += WAIT_SECONDS - 1
    third = shop.generation()
    shop.poll()
    assert shop.view.generation_id == first

    shop.clock.seconds += 1
    shop.poll()

    assert (shop.view.generation_id, shop.view.claim.reflected_ms) == (third, 0)
    assert shop.value("freshet_server_overlay_went_back_total") == 1
    assert not shop.shows(item)


def test_going_back_to_the_live_one_ends_a_wait(shop: Shop) -> None:
    """What waited is given up; the next begins a wait of its own."""
    first = shop.generation()
    shop.publisher(first).publish(new_item("clicked"), claim(100))
    shop.watcher.load_first()
    second = shop.generation()
    shop.poll()
    assert shop.views.pending_id == second

    shop.artifacts.use(first)
    shop.poll()
    assert shop.views.pending_id == ""
    shop.clock.seconds += WAIT_SECONDS
    shop.artifacts.use(second)
    shop.poll()
    assert (shop.view.generation_id, shop.views.pending_id) == (first, second)


def test_a_refresher_that_begins_anew_waits_until_it_has_caught_up(shop: Shop) -> None:
    """It was restarted and has replayed half: what is live stays."""
    first = shop.generation()
    shop.publisher(first).publish(new_item("clicked"), claim(100))
    shop.watcher.load_first()

    restarted = shop.publisher(first)
    restarted.publish(new_item("half"), claim(50))
    shop.poll()
    assert (shop.shows("clicked"), shop.shows("half")) == (True, False)
    restarted.publish(new_item("all"), claim(100))
    shop.poll()
    assert (shop.shows("clicked"), shop.shows("half"), shop.shows("all")) == (False, True, True)
    assert shop.view.claim.reflected_ms == 100


def test_a_refresher_that_never_catches_up_is_taken_after_the_wait(shop: Shop) -> None:
    """A store that was restored from an old checkpoint."""
    first = shop.generation()
    shop.publisher(first).publish(new_item("clicked"), claim(100))
    shop.watcher.load_first()
    restarted = shop.publisher(first)
    restarted.publish(new_item("half"), claim(50))
    shop.poll()
    shop.clock.seconds += WAIT_SECONDS

    shop.poll()

    assert shop.shows("half")
    assert shop.view.claim.reflected_ms == 50
    assert shop.value("freshet_server_overlay_went_back_total") == 1


def test_a_claim_never_goes_back_while_content_grows(shop: Shop) -> None:
    """A partition that is read for the first time makes the refresher claim less; what
    was in the answers still is.
    """
    publisher = shop.publisher(shop.generation())
    publisher.publish(new_item("first"), claim(100))
    shop.watcher.load_first()

    kinds = set()
    for step in range(4):
        publisher.publish(new_item(f"item {step}"), claim(90 - step))
        newest = shop.folder.newest(shop.view.generation_id)
        assert newest is not None
        kinds.add(newest.is_merged)
        shop.poll()
        assert shop.shows(f"item {step}")
        assert shop.view.claim.reflected_ms == 100
    assert kinds == {True, False}


def test_stages_of_new_segments_are_observed(shop: Shop) -> None:
    """From when it was published, and from when its oldest record reached the broker;
    not of what is loaded at the start.
    """
    publisher = shop.publisher(shop.generation())
    publisher.publish(new_item("first"), claim(1), oldest=StageTimes(record_ms=NOW_MS - 9_000))
    shop.watcher.load_first()
    publisher.publish(new_item("second"), claim(2), oldest=StageTimes(record_ms=NOW_MS - 1_000))
    shop.clock.seconds += 0.5

    shop.poll()

    assert shop.value("freshet_server_overlay_segments_total") == 1
    assert shop.value("freshet_server_overlay_published_seconds_sum") == pytest.approx(0.5)
    assert shop.value("freshet_server_overlay_end_to_end_seconds_sum") == pytest.approx(1.5)


def test_a_bug_in_an_overlay_holds_up_no_generation(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes live without, and the overlay is tried again."""
    generation_id = shop.generation()
    shop.publisher(generation_id).publish(new_item("new"), claim(1))

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr("server.views.load_segments", fail)
        assert shop.watcher.load_first()
    assert (shop.view.generation_id, shop.view.overlay.sequence) == (generation_id, 0)
    assert shop.refused("unexpected") == 1

    shop.clock.seconds += 1
    shop.poll()
    assert shop.shows("new")


def test_the_thread_lives_on_whatever_a_poll_raises(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug of ours is a refusal, and the next segments are taken."""
    publisher = shop.publisher(shop.generation())
    shop.watcher.load_first()

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(LiveViews, "_advance_live", fail)
        publisher.publish(new_item("new"), claim(1))
        shop.views.start()
        wait_until(lambda: (shop.refused("unexpected") or 0) > 0, "the bug is counted")
        assert "a bug" in shop.views.last_refusal
    wait_until(lambda: shop.shows("new"), "the segment is taken")
    shop.views.stop()


def test_a_folder_that_cannot_be_written_is_served(shop: Shop) -> None:
    """A server writes nothing into it."""
    publisher = shop.publisher(shop.generation())
    publisher.publish(new_item("first"), claim(1))
    before = contents(shop.artifacts.root)
    paths = [shop.artifacts.root, *shop.artifacts.root.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        shop.watcher.load_first()
        shop.poll()
    finally:
        for path in paths:
            path.chmod(0o755 if path.is_dir() else 0o644)

    assert shop.shows("first")
    assert contents(shop.artifacts.root) == before


def contents(root: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of each file, and time of each folder."""
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in root.rglob("*")}


def live_of(shop: Shop, generation_id: str) -> LiveGeneration:
    """Load a generation."""
    path = shop.artifacts.store.generation_path(generation_id)
    return LiveGeneration.load(path, ServerSettings())


def test_generations_and_overlays_in_any_order_never_set_back_a_claim(shop: Shop) -> None:
    """Offered while its overlay is there, before, or never."""
    shop.publisher(shop.generation()).publish(new_item("x"), claim(1))
    shop.watcher.load_first()
    claims = []
    for step in range(1, 30):
        generation_id = shop.generation()
        reflected_ms = int(RANDOM.integers(1, 40))
        if step % 3:
            shop.publisher(generation_id).publish(new_item("x"), claim(reflected_ms))
        shop.views.offer(live_of(shop, generation_id))
        shop.views.poll()
        claims.append(shop.view.claim.reflected_ms)

    assert claims == sorted(claims)
    assert claims[-1] > 1


def test_a_call_does_not_give_back_the_memory_of_what_it_read(shop: Shop) -> None:
    """The thread that follows overlays does, at its next look."""
    shop.generation()
    shop.watcher.load_first()
    freed_in: list[str] = []
    old = weakref.ref(
        shop.view.live.index, lambda _: freed_in.append(threading.current_thread().name)
    )
    reading = [shop.view]  # a call that is not over when the next generation goes live
    shop.generation()
    shop.watcher.poll()
    shop.views.poll()
    assert old() is not None

    reader = threading.Thread(target=reading.clear, name="reader")
    reader.start()
    reader.join(10)
    assert not freed_in

    shop.views.poll()
    assert freed_in == [threading.current_thread().name]
