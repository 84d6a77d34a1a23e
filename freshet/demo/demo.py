"""The whole system in two minutes.

Its processes on loopback, and a story told by what they answer.
"""

import shlex
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from types import FrameType
from typing import TypeVar

import click

from freshet.demo.narrator import Story
from freshet.demo.plan import DemoPlan
from freshet.demo.processes import Children, stop_others
from freshet.demo.scenario import (
    NUM_CLICKS,
    NewProduct,
    Queries,
    append_lines,
    choose_queries,
    labelled_product,
    simulated_product,
)
from freshet.demo.work_folder import WorkFolder, open_work_folder, running_pids
from freshet.probe import Addresses, Samples, read_metrics, total
from freshet.process import CommandError
from freshet.shop import feed
from freshet.shop.shop import Shop
from freshet.terminal.addresses import (
    SERVER_METRICS,
    SERVER_TARGET,
    STREAM_METRICS,
    TUNER_METRICS,
)
from freshet.terminal.output import duration
from freshet_client import ClientError, Freshness, RetrievalClient, Retrieved
from server.addresses import split_address

T = TypeVar("T")

_USUAL_ADDRESSES = (STREAM_METRICS, TUNER_METRICS, SERVER_METRICS, SERVER_TARGET)
_LIVE_RATE = 20.0
_TUNE_EVERY = "5s"
_TUNE_BUDGET = "20s"
_NUM_HITS = 5
_POLL_SECONDS = 0.1
_START_SECONDS = 60.0
_FIRST_GENERATION_SECONDS = 600.0
_NEXT_GENERATION_SECONDS = 300.0
_MAX_TUNER_FAILURES = 3


def run_demo(plan: DemoPlan) -> None:
    """Tell the story.

    Raises:
        CommandError: a process ended, or something did not happen in time; nothing is
            left running.
    """
    story = Story()
    with ended_by_signals(), open_work_folder(plan.folder, plan.recipe()) as folder:
        children = Children(folder.logs, folder.lock)
        try:
            Demo(plan, folder, children, story).run()
        except KeyboardInterrupt:
            click.echo("\nstopping everything", err=True)
            raise
        finally:
            with signals_ignored():
                children.stop()
                children.close()


def stop_demo(folder: Path) -> None:
    """Stop what ``--keep`` left running in a work folder."""
    stopped = stop_others(running_pids(folder))
    click.echo(f"stopped {', '.join(stopped)}" if stopped else f"nothing is running in {folder}")


class Demo:
    """One run of the demo, step by step."""

    def __init__(
        self, plan: DemoPlan, folder: WorkFolder, children: Children, story: Story
    ) -> None:
        self._plan = plan
        self._folder = folder
        self._children = children
        self._story = story
        usual = [split_address(address)[1] for address in _USUAL_ADDRESSES]
        ports = free_ports(usual if plan.keep else [0] * len(usual))
        stream, tuner, server, target = (f"127.0.0.1:{port}" for port in ports)
        self._at = Addresses(stream=stream, tuner=tuner, server=server, target=target)
        self._client = RetrievalClient(target, retry=None)

    def run(self) -> None:
        """Tell the story from its beginning to its end."""
        self._story.open(f"Freshet: events in, fresh answers out. Work folder: {self._folder.root}")
        self._open_shop()
        self._start_stream_and_server()
        self._await_graph()
        if self._plan.events is not None:
            # a log with nothing to ask for is better told before the training
            self._choose_queries()
        self._await_generation()
        queries = self._choose_queries()
        self._ask(queries)
        self._launch(queries)
        self._farewell(queries)

    def _open_shop(self) -> None:
        plan, shop = self._plan, self._folder.shop
        if plan.events is not None:
            self._story.step(f"Your own log: {plan.events}")
            shop.mkdir(exist_ok=True)
            return
        if (shop / "events.jsonl").exists():
            self._story.step("The simulated shop opens again where it closed")
            return
        self._story.step(
            f"A shop is simulated: {plan.shop_items:,} products, {plan.shop_events:,} events"
        )
        shutil.rmtree(shop, ignore_errors=True)
        shop.mkdir()
        with self._story.waiting("simulating"):
            history_ms = feed.write_history(
                Shop(plan.seed, plan.shop_items), plan.shop_events, shop
            )
        self._story.note(f"{duration(history_ms / 1000)} of shopping, in {shop}")

    def _start_stream_and_server(self) -> None:
        self._story.step("Stream and server start, as processes of their own")
        sources = [f"file:{self._folder.shop / 'launches.jsonl'}"]
        sources.insert(0, f"file:{self._plan.events or self._folder.shop / 'events.jsonl'}")
        catalog = self._plan.items if self._plan.events else self._folder.shop / "items.jsonl"
        arguments = [
            "stream",
            "--follow",
            "--store",
            str(self._folder.store),
            "--metrics",
            self._at.stream,
        ]
        for source in sources:
            arguments += ["--source", source]
        if catalog is not None:
            arguments += ["--catalog", f"file:{catalog}"]
        self._children.start("stream", arguments)
        serve = ["serve", "--artifacts", str(self._folder.artifacts), "--metrics", self._at.server]
        self._children.start("server", [*serve, "--listen", self._at.target])
        self._story.note(f"stream   metrics http://{self._at.stream}/metrics")
        self._story.note(
            f"server   gRPC {self._at.target}, metrics http://{self._at.server}/metrics"
        )

    def _await_graph(self) -> None:
        self._story.step("Events flow into the graph")
        started: list[float] = []

        def caught_up() -> Samples | None:
            samples = self._metrics(self._at.stream)
            if samples and not started:
                started.append(time.monotonic())
            is_done = total(samples, "freshet_stream_graph_watermark_seconds") and not total(
                samples, "freshet_stream_behind_seconds"
            )
            return samples if is_done else None

        def detail() -> str:
            applied = total(self._metrics(self._at.stream), "freshet_stream_events_total")
            return f"{applied or 0:,.0f} events"

        samples = self._await("applying", caught_up, _FIRST_GENERATION_SECONDS, detail)
        seconds = max(time.monotonic() - started[0], _POLL_SECONDS)
        num_events = total(samples, "freshet_stream_events_total") or 0.0
        num_rejected = total(samples, "freshet_stream_quarantined_total") or 0.0
        applied = (
            f"{num_events:,.0f} events applied in {seconds:.1f} s, {num_events / seconds:,.0f} "
            "a second"
        )
        self._story.note(
            applied if num_events else "all events of the log are in the graph already"
        )
        if num_rejected:
            look = f"{command_name()} quarantine list --store {self._folder.store}"
            self._story.note(f"{num_rejected:,.0f} could not be used: see `{look}`")
        self._start_shoppers()

    def _start_shoppers(self) -> None:
        if self._plan.events is not None:
            return
        arguments = ["simulate", "--out", str(self._folder.shop), "--rate", str(_LIVE_RATE)]
        arguments += ["--seed", str(self._plan.seed), "--items", str(self._plan.shop_items)]
        self._children.start("shoppers", arguments)
        self._story.note(f"shoppers keep coming: {_LIVE_RATE:.0f} events a second from now on")

    def _await_generation(self) -> None:
        started = time.monotonic()
        freshness = self._freshness()
        is_first = freshness is None or not freshness.ready
        self._story.step("The tuner trains a first generation" if is_first else "The tuner goes on")
        arguments = [
            "tune",
            "--store",
            str(self._folder.store),
            "--artifacts",
            str(self._folder.artifacts),
        ]
        arguments += ["--every", _TUNE_EVERY, "--budget", _TUNE_BUDGET, "--metrics", self._at.tuner]
        self._children.start("tuner", arguments)
        self._story.note(f"tuner    metrics http://{self._at.tuner}/metrics")
        freshness = self._await("training", self._ready, _FIRST_GENERATION_SECONDS)
        receipt = freshness.receipt
        generation = receipt.generation if receipt else ""
        how = (
            f"trained and live {time.monotonic() - started:.1f} s later"
            if is_first
            else "live from the last run"
        )
        self._story.note(f"generation {generation}: {how}")
        self._story.note(f"{freshness.num_items:,} products, {freshness.num_queries:,} queries")

    def _choose_queries(self) -> Queries:
        with self._story.waiting("reading the graph"):
            return choose_queries(self._folder.store, Random(self._plan.seed))

    def _ask(self, queries: Queries) -> None:
        self._story.step("Three queries: frequent, rare, never seen")
        self._story.answer(queries.frequent, "frequent", self._retrieve(queries.frequent))
        self._story.answer(queries.rare, "rare", self._retrieve(queries.rare))
        kind = f'never seen; typed for "{queries.like}"'
        self._story.answer(queries.unseen, kind, self._retrieve(queries.unseen))

    def _launch(self, queries: Queries) -> None:
        self._folder.state.num_launches += 1
        self._folder.save()
        product = self._new_product(queries)
        self._story.step(f"A new product appears, {product.item_id}: {product.title}")
        before = self._retrieve(product.query)
        self._story.answer(product.query, "before", before)
        started = time.monotonic()
        append_lines(self._folder.shop / "launches.jsonl", product.lines)
        self._story.note(f"it is put into the catalogue, and {NUM_CLICKS} shoppers click it")

        def found() -> Retrieved | None:
            answer = self._retrieve(product.query)
            return answer if any(hit.item_id == product.item_id for hit in answer.hits) else None

        after = self._await("until the next generation", found, _NEXT_GENERATION_SECONDS)
        seconds = time.monotonic() - started
        self._story.answer(product.query, "after", after, highlight=product.item_id)
        self._story.note(
            f"the answer changed {seconds:.1f} s after the first click, with no restart",
            "bold green",
        )

    def _new_product(self, queries: Queries) -> NewProduct:
        number = self._folder.state.num_launches
        if self._plan.events is None:
            return simulated_product(Shop(self._plan.seed, self._plan.shop_items), number)
        watermark = (
            total(self._metrics(self._at.stream), "freshet_stream_graph_watermark_seconds") or 0.0
        )
        return labelled_product(queries.frequent, number, int(1000 * watermark))

    def _farewell(self, queries: Queries) -> None:
        folder, at = self._folder, self._at
        look = [
            ["graph", "stats", "--store", str(folder.store)],
            ["generations", "list", "--artifacts", str(folder.artifacts)],
        ]
        ask = ["query", queries.frequent]
        if not self._plan.keep:
            again = ["demo", "--keep", "--dir", str(folder.root), *self._plan.flags()]
            serve = ["serve", "--artifacts", str(folder.artifacts), "--listen", SERVER_TARGET]
            self._end("Everything is shut down. Try next:", [again, serve, ask, *look])
            return
        metrics = ["--stream", at.stream, "--tuner", at.tuner, "--server", at.server]
        status = ["status", *metrics, "--target", at.target]
        stop = ["demo", "--stop", "--dir", str(folder.root)]
        folder.state.pids = self._children.pids
        folder.save()
        self._children.release()
        ask += ["--target", at.target]
        self._end("Everything keeps running. Try next:", [status, ask, *look, stop])

    def _end(self, heading: str, commands: Sequence[Sequence[str]]) -> None:
        if not self._plan.keep:
            self._client.close()
            self._children.stop()
        lines = [f"{command_name()} {shlex.join(command)}" for command in commands]
        self._story.close(f"{heading} ({self._story.elapsed_seconds:.0f} s in all)", lines)

    def _retrieve(self, query: str) -> Retrieved:
        return self._client.retrieve(query, _NUM_HITS)

    def _ready(self) -> Freshness | None:
        failures = total(self._metrics(self._at.tuner), "freshet_tuner_failures_total") or 0.0
        if failures >= _MAX_TUNER_FAILURES:
            log = self._folder.logs / "tuner.log"
            raise CommandError(f"the tuner fails to make a generation; its log {log} says why")
        freshness = self._freshness()
        return freshness if freshness and freshness.ready else None

    def _freshness(self) -> Freshness | None:
        try:
            return self._client.freshness()
        except ClientError:
            return None

    def _metrics(self, address: str) -> Samples:
        """Return the samples of a process; none while it does not answer yet."""
        try:
            return read_metrics(address)
        except OSError:
            return {}

    def _await(
        self,
        what: str,
        attempt: Callable[[], T | None],
        limit_seconds: float,
        detail: Callable[[], str] = lambda: "",
    ) -> T:
        """Return what `attempt` returns once it is not None.

        Watch over the processes meanwhile.
        """
        started = time.monotonic()
        with self._story.waiting(what) as say:
            while (result := attempt()) is None:
                self._children.check()
                waited = time.monotonic() - started
                if waited > limit_seconds:
                    raise CommandError(
                        f"{what}: nothing within {limit_seconds:.0f} s; see {self._folder.logs}"
                    )
                say(", ".join(part for part in (detail(), f"{waited:.0f} s") if part))
                time.sleep(_POLL_SECONDS)
        return result


def free_ports(wanted: Sequence[int]) -> list[int]:
    """Return different loopback ports that nobody listens on now.

    The wanted ones as far as they are free.
    """
    with ExitStack() as held:
        return [held.enter_context(_hold_port(port)).getsockname()[1] for port in wanted]


def _hold_port(wanted: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", wanted))
    except OSError:
        return socket.create_server(("127.0.0.1", 0))


def command_name() -> str:
    """Return how this command can be called again."""
    if shutil.which("freshet"):
        return "freshet"
    started_as = Path(sys.argv[0]).absolute()
    if started_as.name != "freshet":
        return "python -m freshet"
    here = Path.cwd()
    return str(started_as.relative_to(here) if started_as.is_relative_to(here) else started_as)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind the program as Ctrl-C does."""

    def unwind(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    previous = {number: signal.signal(number, unwind) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def signals_ignored() -> Iterator[None]:
    """Let nothing interrupt the clearing up."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    previous = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
