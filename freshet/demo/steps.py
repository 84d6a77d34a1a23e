"""The steps of the demo, in order."""

import shutil
import time
from collections import Counter
from random import Random

from freshet.demo.farewell import command_name
from freshet.demo.launch import (
    NUM_CLICKS,
    NewProduct,
    append_lines,
    labelled_product,
    simulated_product,
)
from freshet.demo.queries import Queries, choose_queries
from freshet.demo.stage import POLL_SECONDS, Stage, samples_at
from freshet.probe import Samples, total
from freshet.process import CommandError
from freshet.shop import feed
from freshet.shop.shop import Shop
from freshet.terminal.output import duration
from freshet_client import Freshness, RetrieveResult
from model.artifact.generation import open_generation
from model.artifact.store import ArtifactStore

_LAUNCHED_ITEMS = "launched-items.jsonl"
_LAUNCH_CLICKS = "launches.jsonl"

_TUNE_EVERY = "10s"
"""Period of the trainings. A refresh of the demo's shop takes up to four seconds on two
busy cores; with twice as much the demo would wait ten seconds longer for the generation
that has learned the new product.
"""

_FRESH_EVERY = "0.5s"
"""Time between two rounds of the refresher: half of the default, which is for shops a
thousand times larger. Twice as much would show the new product a quarter of a second
later.
"""

_TUNE_BUDGET = "20s"
"""The longest training. The first one of the simulated shop takes half of it on two
busy cores; with twice as much a user's own large log would be learned better, and the
demo would take longer than two minutes.
"""

_FIRST_GENERATION_SECONDS = 600.0
"""The longest that applying a log may take, and then a first training: ten million
events at 20,000 a second. Twice as much would let something that hangs do so longer.
"""

_REFUSED_SECONDS = 5.0
"""How long after the last record that was quarantined none must be used until the log
is given up as one of another kind. Twice as long: it is told so much later.
"""

_NEXT_GENERATION_SECONDS = 300.0
"""The longest that the new product may take to get into its answer, and then into a
generation. A second and ten seconds are usual; this suffices for ten trainings of the
whole budget, should the first of them have begun before the clicks, or the gate refuse
some.
"""

_MAX_TUNER_FAILURES = 3
"""A graph that is too small at first may have grown by the next training; what fails
three times in a row will fail again.
"""


def open_shop(stage: Stage) -> None:
    """Simulate the shop's history, unless it exists or the user gave a log."""
    plan, story, shop = stage.plan, stage.story, stage.folder.shop
    if plan.events is not None:
        story.step(f"Your own log: {plan.events}")
        shop.mkdir(exist_ok=True)
        return
    if (shop / "events.jsonl").exists():
        story.step("The simulated shop continues where it stopped")
        return
    story.step(f"A shop is simulated: {plan.shop_items:,} products, {plan.shop_events:,} events")
    shutil.rmtree(shop, ignore_errors=True)
    shop.mkdir()
    with story.waiting("simulating"):
        history_ms = feed.write_history(Shop(plan.seed, plan.shop_items), plan.shop_events, shop)
    story.note(f"{duration(history_ms / 1000)} of shopping, in {shop}")


def start_stream_and_server(stage: Stage) -> None:
    """Start both; the server waits for its first generation."""
    plan, folder, story, at = stage.plan, stage.folder, stage.story, stage.at
    story.step("Stream and server start as processes of their own")
    events = plan.events or folder.shop / "events.jsonl"
    catalog = plan.items if plan.events else folder.shop / "items.jsonl"
    stream = ["stream", "--follow", "--store", str(folder.store), "--metrics", at.stream]
    for path in (events, folder.shop / _LAUNCH_CLICKS):
        stream += ["--source", f"file:{path}"]
    for items in filter(None, (catalog, folder.shop / _LAUNCHED_ITEMS)):
        stream += ["--catalog", f"file:{items}"]
    serve = ["serve", "--artifacts", str(folder.artifacts)]
    stage.children.start("stream", stream)
    stage.children.start("server", [*serve, "--metrics", at.server, "--listen", at.target])
    story.note(f"stream   metrics http://{at.stream}/metrics")
    story.note(f"server   gRPC {at.target}, metrics http://{at.server}/metrics")


def await_graph(stage: Stage) -> None:
    """Wait until the stream has caught up with the log, and print how fast it was."""
    story, address = stage.story, stage.at.stream
    story.step("Events flow into the graph")
    first_answer: list[float] = []
    refusals = _Refusals(stage)

    def caught_up() -> Samples | None:
        samples = samples_at(address)
        if samples and not first_answer:
            first_answer.append(time.monotonic())
        refusals.see(samples)
        is_done = total(samples, "freshet_stream_graph_watermark_seconds") and not total(
            samples, "freshet_stream_behind_seconds"
        )
        return samples if is_done else None

    def detail() -> str:
        if not first_answer:
            return "the stream starts"
        applied = total(samples_at(address), "freshet_stream_events_total")
        return f"{applied or 0:,.0f} events"

    samples = stage.wait_for("applying", caught_up, _FIRST_GENERATION_SECONDS, detail)
    seconds = max(time.monotonic() - first_answer[0], POLL_SECONDS)
    num_events = total(samples, "freshet_stream_events_total") or 0.0
    if num_events:
        rate = f"{num_events / seconds:,.0f} a second"
        story.note(
            f"{num_events:,.0f} events applied in {seconds:.1f} s once the stream ran, {rate}"
        )
    else:
        story.note("all events of the log are in the graph already")
    if num_rejected := total(samples, "freshet_stream_quarantined_total") or 0.0:
        look = f"{command_name()} quarantine list --store {stage.folder.store}"
        story.note(f"{num_rejected:,.0f} could not be used: see `{look}`")


class _Refusals:
    """Notices a log of which no record can be used.

    Args:
        stage: of the demo.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._num_refused = 0.0
        self._since = time.monotonic()

    def see(self, samples: Samples) -> None:
        """Look at the stream's metrics.

        Raises:
            CommandError: nothing was used of what came, and nothing comes any more.
        """
        refused = total(samples, "freshet_stream_quarantined_total") or 0.0
        if refused != self._num_refused or total(samples, "freshet_stream_events_total"):
            self._num_refused, self._since = refused, time.monotonic()
        if not refused or time.monotonic() - self._since < _REFUSED_SECONDS:
            return
        reasons = Counter(
            {
                labels["reason"]: int(count)
                for labels, count in samples["freshet_stream_quarantined_total"]
                if count
            }
        )
        told = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
        raise CommandError(
            f"{self._stage.plan.events}: none of its events can be used ({told}): "
            f"`{command_name()} try-events {self._stage.plan.events}` says why, line by line"
        )


def start_shoppers(stage: Stage) -> None:
    """Let shoppers use the simulated shop in real time; a log of one's own has none."""
    plan = stage.plan
    if plan.events is not None:
        return
    arguments = ["simulate", "--out", str(stage.folder.shop), "--rate", str(feed.DEFAULT_RATE)]
    arguments += ["--seed", str(plan.seed), "--items", str(plan.shop_items)]
    stage.children.start("shoppers", arguments)
    stage.story.note(f"shoppers keep coming: {feed.DEFAULT_RATE:.0f} events per second from now on")


def await_generation(stage: Stage) -> None:
    """Start the tuner, and wait until a generation of its is live."""
    story, folder, at = stage.story, stage.folder, stage.at
    started = time.monotonic()
    is_first = not ArtifactStore(folder.artifacts).current_id()
    story.step("The tuner trains a first generation" if is_first else "The tuner continues")
    tune = ["tune", "--store", str(folder.store), "--artifacts", str(folder.artifacts)]
    tune += ["--every", _TUNE_EVERY, "--budget", _TUNE_BUDGET, "--metrics", at.tuner]
    tune += ["--fresh-every", _FRESH_EVERY, "--fresh-metrics", at.refresher]
    stage.children.start("tuner", [*tune, "--servers", at.target])
    story.note(f"tuner    metrics http://{at.tuner}/metrics")
    story.note(f"its refresher    http://{at.refresher}/metrics")

    def live() -> Freshness | None:
        _check_tuner(stage)
        freshness = stage.freshness()
        return freshness if freshness and freshness.ready else None

    freshness = stage.wait_for("training", live, _FIRST_GENERATION_SECONDS)
    generation = freshness.receipt.generation if freshness.receipt else ""
    seconds = time.monotonic() - started
    how = f"trained and live {seconds:.1f} s later" if is_first else "live from the last run"
    story.note(f"generation {generation}: {how}")
    story.note(f"{freshness.num_items:,} products, {freshness.num_queries:,} queries")


def choose(stage: Stage) -> Queries:
    """Return the queries of the demo.

    Raises:
        CommandError: the log has none.
    """
    with stage.story.waiting("reading the graph"):
        return choose_queries(stage.folder.store, Random(stage.plan.seed))


def ask(stage: Stage, queries: Queries) -> None:
    """Run the three queries."""
    stage.story.step("Three queries: frequent, rare, never seen")
    for query, kind in (
        (queries.frequent, "frequent"),
        (queries.rare, "rare"),
        (queries.unseen, f'never seen; meant is "{queries.like}"'),
    ):
        stage.story.answer(query, kind, stage.retrieve(query))


def launch(stage: Stage, queries: Queries) -> None:
    """Launch a product, let shoppers click it, and wait until it is found: by the fresh
    lane, and then by a generation that has learned it.
    """
    story, folder = stage.story, stage.folder
    folder.state.num_launches += 1
    folder.save()
    product = _new_product(stage, queries)
    story.step(f"A new product appears, {product.item_id}: {product.title}")
    before = stage.retrieve(product.query)
    story.answer(product.query, "before", before)
    started = time.monotonic()
    append_lines(folder.shop / _LAUNCHED_ITEMS, [product.item])
    append_lines(folder.shop / _LAUNCH_CLICKS, product.clicks)
    story.note(f"it enters the catalogue, and {NUM_CLICKS} shoppers click it")

    def found() -> RetrieveResult | None:
        answer = stage.retrieve(product.query)
        return answer if any(hit.item_id == product.item_id for hit in answer.hits) else None

    after = stage.wait_for("until answers follow", found, _NEXT_GENERATION_SECONDS)
    seconds = time.monotonic() - started
    story.answer(product.query, "after", after, highlight=product.item_id)
    is_fresh = after.receipt.generation == before.receipt.generation
    how = "by the fresh lane, before any training" if is_fresh else "by a new generation"
    story.note(
        f"the answer changed {seconds:.1f} s after the first click, {how}",
        "bold green",
    )
    if is_fresh:
        _await_learned(stage, product, started)


def _await_learned(stage: Stage, product: NewProduct, started: float) -> None:
    """Wait until a generation has learned the product, of which the answer shows
    nothing but its receipt.
    """
    store = ArtifactStore(stage.folder.artifacts)

    def learned() -> RetrieveResult | None:
        answer = stage.retrieve(product.query)
        generation = open_generation(store.generation_path(answer.receipt.generation), verify=False)
        return answer if generation.find_item(product.item_id) is not None else None

    answer = stage.wait_for("until a generation has learned it", learned, _NEXT_GENERATION_SECONDS)
    seconds = time.monotonic() - started
    stage.story.answer(product.query, "learned", answer, highlight=product.item_id)
    stage.story.note(
        f"generation {answer.receipt.generation} has learned it, {seconds:.1f} s after the first "
        "click, with no restart",
        "bold green",
    )


def _new_product(stage: Stage, queries: Queries) -> NewProduct:
    plan, number = stage.plan, stage.folder.state.num_launches
    if plan.events is None:
        return simulated_product(Shop(plan.seed, plan.shop_items), number)
    samples = samples_at(stage.at.stream)
    watermark = total(samples, "freshet_stream_graph_watermark_seconds") or 0.0
    return labelled_product(queries.frequent, number, int(1000 * watermark))


def _check_tuner(stage: Stage) -> None:
    samples = samples_at(stage.at.tuner)
    if (total(samples, "freshet_tuner_failures_total") or 0.0) >= _MAX_TUNER_FAILURES:
        log = stage.folder.logs / "tuner.log"
        raise CommandError(f"the tuner fails to make a generation; see its log {log}")
