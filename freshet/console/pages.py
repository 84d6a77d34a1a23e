"""What the console answers at each path: files of the page, and JSON."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from importlib import resources
from typing import Any

from freshet.console import documents
from freshet.console.generations import Generations
from freshet.console.history import DAY_SECONDS
from freshet.console.search import search
from freshet.console.watch import View, Watch
from freshet_client import ClientError, QueryRefused

Query = Mapping[str, str]

# Points of a chart: as many as a wide screen tells apart. Twice as many: twice the
# bytes of each refresh.
_MOST_STEPS = 240
_LEAST_SECONDS = 60.0
_PATH = "/api/"

_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/style.css": ("style.css", "text/css; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    **{
        f"/{name}.js": (f"{name}.js", "text/javascript; charset=utf-8")
        for name in ("console", "ask", "dom", "charts", "overview", "tables", "search")
    },
}
"""The files of the page: name and type by path."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """What is answered.

    Attributes:
        status: of HTTP.
        content_type: of the body.
        body: the bytes.
    """

    status: HTTPStatus
    content_type: str
    body: bytes


class Pages:
    """Answers paths.

    Args:
        watch: what is seen.
        generations: which there are.
        targets: gRPC addresses of the servers; the first is searched unless another is
            asked for.
    """

    def __init__(self, watch: Watch, generations: Generations, targets: tuple[str, ...]) -> None:
        self._watch = watch
        self._generations = generations
        self._targets = targets
        self._documents: Mapping[str, Callable[[Query], dict[str, Any]]] = {
            "overview": lambda _: self._of_view(documents.overview) | self._about(),
            "partitions": lambda _: self._of_view(documents.partitions),
            "quarantine": lambda _: self._of_view(documents.quarantine),
            "generations": lambda _: self._generations.now(),
            "history": self._history,
            "search": self._search,
        }

    def is_data(self, path: str) -> bool:
        """Whether a path has data, which a token may protect; the page itself has
        none.
        """
        return path.startswith(_PATH)

    def answer(self, path: str, query: Query) -> Page:
        """Return what is at a path."""
        if path in _FILES:
            name, content_type = _FILES[path]
            return Page(status=HTTPStatus.OK, content_type=content_type, body=_file(name))
        make = self._documents.get(path.removeprefix(_PATH)) if self.is_data(path) else None
        if make is None:
            return problem(HTTPStatus.NOT_FOUND, f"there is nothing at {path[:200]}")
        try:
            document = make(query)
        except _NotYet as error:
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        except (QueryRefused, ValueError) as error:
            return problem(HTTPStatus.BAD_REQUEST, str(error))
        except ClientError as error:
            return problem(HTTPStatus.BAD_GATEWAY, str(error))
        return _json(HTTPStatus.OK, document)

    def _about(self) -> dict[str, Any]:
        return {
            "every_seconds": self._watch.every_seconds,
            "now_ms": round(time.time() * 1000),
            "targets": self._targets,
        }

    def _of_view(self, make: Callable[[View], dict[str, Any]]) -> dict[str, Any]:
        view = self._watch.view
        if view is None:
            raise _NotYet("the console has just started, and has not asked the processes yet")
        return make(view)

    def _history(self, query: Query) -> dict[str, Any]:
        seconds = min(max(_number(query, "seconds", 900.0), _LEAST_SECONDS), DAY_SECONDS)
        most = min(_MOST_STEPS, round(seconds / self._watch.every_seconds))
        steps = max(most, 1)
        return documents.history(self._watch.history.over(seconds, time.time(), steps))

    def _search(self, query: Query) -> dict[str, Any]:
        text = query.get("q", "")
        place = round(_number(query, "server", 0))
        if not 0 <= place < len(self._targets):
            raise ValueError(f"server={place} is not one of the {len(self._targets)} servers")
        return search(self._targets[place], text)


class _NotYet(Exception):
    """Nothing has been seen yet."""


def problem(status: HTTPStatus, text: str) -> Page:
    """Return what says why there is no answer."""
    return _json(status, {"problem": text})


def _json(status: HTTPStatus, document: dict[str, Any]) -> Page:
    # What is no text in UTF-8, such as half of a pair, arrives as an escape.
    text = json.dumps(document, ensure_ascii=True, allow_nan=False)
    return Page(status=status, content_type="application/json", body=text.encode())


def _number(query: Query, name: str, default: float) -> float:
    """Return a parameter.

    Raises:
        ValueError: it is no number.
    """
    text = query.get(name, "")
    try:
        number = float(text) if text else default
    except ValueError:
        number = float("nan")
    if not abs(number) < float("inf"):
        raise ValueError(f"{name}={text[:40]} is not a number")
    return number


@cache
def _file(name: str) -> bytes:
    return resources.files("freshet.console").joinpath("static", name).read_bytes()
