"""A console over a shop that tells what a test makes it tell."""

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from freshet.console.generations import Generations
from freshet.console.guard import guard_of
from freshet.console.listener import Listener
from freshet.console.pages import Pages
from freshet.console.watch import Watch
from freshet.diagnosis.processes import Targets
from freshet.diagnosis.status import look_at
from model.artifact.encoder import unit_rows
from testing.processes.told_shop import ToldShop
from testing.small_generations import Catalogue, make_catalogue

ODD_TITLES = (
    "<img src=x onerror=\"document.title='owned'\"><b>Bold</b> &amp; <script>alert(1)</script>",
    "\u202eמנורת שולחן\u202c ישנה\u202e txet",
    "👩‍🚀🏳️‍🌈 lamp 灯 lámpa \x00\x07\u0000 end",
    "x" * 10_240,
    "",
)
"""What merchants and attackers write."""


@dataclass
class RunningConsole:
    """A console that answers, and what it looks at."""

    url: str
    watch: Watch
    shop: ToldShop

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, _, port = self.url.removeprefix("http://").rstrip("/").rpartition(":")
        return host.strip("[]"), int(port)

    def ask(
        self, path: str, *, method: str = "GET", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of a request."""
        connection = http.client.HTTPConnection(*self.address, timeout=120)
        try:
            connection.request(
                method, path, headers={k.replace("_", "-"): v for k, v in headers.items()}
            )
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, found, answer.read()
        finally:
            connection.close()

    def document(self, path: str) -> dict[str, Any]:
        """Return what an API path says."""
        status, _, body = self.ask(f"/api/{path}")
        assert status == 200, body
        found: dict[str, Any] = json.loads(body)
        return found


Serve = Callable[..., RunningConsole]


def odd_catalogue() -> Catalogue:
    """Return a catalogue whose odd titles answer `lamp`, with clicks and sessions."""
    catalogue = make_catalogue(20, ["lamp", "desk lamp"])
    catalogue.titles[: len(ODD_TITLES)] = ODD_TITLES
    near = catalogue.query_vectors[0] + 0.2 * catalogue.item_vectors[: len(ODD_TITLES)]
    catalogue.item_vectors[: len(ODD_TITLES)] = unit_rows(near)
    catalogue.clicks = [(0, 0, 3), (0, 1, 1), (1, 0, 2), (1, 2, 5)]
    catalogue.sessions = [([0], [0, 1, 2]), ([1], [2, 3])]
    return catalogue


@pytest.fixture
def shop(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[ToldShop]:
    """A system that is well, whose items have odd titles."""
    with ExitStack() as stack:
        # Nobody renews what it claims, and a test on a busy machine may last.
        yield ToldShop(tmp_path, free_port, stack, odd_catalogue(), objective_seconds=3600.0)


@pytest.fixture
def serve(shop: ToldShop) -> Iterator[Serve]:
    """A function that starts a console; it has looked once, and looks on only if told
    how often.
    """
    with ExitStack() as stack:

        def start(
            *,
            targets: Targets | None = None,
            every: float = 0.0,
            tokens: Path | None = None,
            names: tuple[str, ...] = (),
            artifacts: Path | None = None,
            look_seconds: float = 30.0,
        ) -> RunningConsole:
            asked = targets or shop.targets()
            watch = Watch(partial(look_at, asked, look_seconds), every or 3600.0)
            pages = Pages(watch, Generations(asked.targets, artifacts), tuple(asked.targets))
            listener = Listener("127.0.0.1:0", pages, guard_of("127.0.0.1:0", names, tokens))
            watch.look_once()
            listener.start()
            stack.callback(listener.stop)
            if every:
                watch.start()
                stack.callback(watch.stop)
            return RunningConsole(url=listener.url, watch=watch, shop=shop)

        yield start
