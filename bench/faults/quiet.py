"""Runs in which nothing is wrong, and nobody may be told of anything."""

import json
import time
from collections.abc import Callable, Mapping
from itertools import islice

from bench.faults.stack import Stack
from freshet.shop.shop import DEFAULT_EVENTS_PER_SECOND

_BACKFILL_EVENTS = 200_000  # a busy shop's hour, of last year
_YEAR_MS = 365 * 86_400_000


def be_quiet(stack: Stack, name: str, seconds: float) -> list[str]:
    """Do what a run is about, and return what was told meanwhile."""
    hook, began = stack.monitoring.webhook, time.time()
    end = QUIET[name](stack)
    hook.wait(lambda: False, seconds, stack.system.check)
    end()
    return [f"{each.name}: {each.annotations['summary']}" for each in hook.since(began)]


def _healthy(_stack: Stack) -> Callable[[], None]:
    return lambda: None


def _night(stack: Stack) -> Callable[[], None]:
    """No events come; shoppers who ask are answered."""
    stack.system.stop("load")
    return stack.start_load


def _backfill(stack: Stack) -> Callable[[], None]:
    """Events that the shop had a year ago are published as fast as the broker takes
    them.

    Those of another shop would be poison: its products have the same ids.
    """
    folder = stack.folder / "last-year"
    folder.mkdir()
    start_ms = round(time.time() * 1000) - _YEAR_MS
    events = islice(stack.shop().events(start_ms, DEFAULT_EVENTS_PER_SECOND), _BACKFILL_EVENTS)
    path = folder / "events.jsonl"
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(event) + "\n" for event in events)
    stack.system.run(
        *("replay", "--events", path, "--to", stack.system.source),
        *("--speed", "max", "--batch", 64),
    )
    return lambda: None


QUIET: Mapping[str, Callable[[Stack], Callable[[], None]]] = {
    "a healthy shop": _healthy,
    "a night without events": _night,
    "a backfill of last year": _backfill,
}
"""What each run does, and what ends it."""
