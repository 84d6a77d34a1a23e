"""Reads the metrics of other processes, all at once and in bounded time."""

import math
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TypeVar

from prometheus_client.parser import text_string_to_metric_families

TIMEOUT_SECONDS = 1.5
"""The longest wait for all answers together; on one network they take milliseconds.
With the start of a command it is about two seconds; twice as much would let whoever is
on call wait twice as long for a process that is frozen.
"""

Samples = dict[str, list[tuple[dict[str, str], float]]]

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Where the processes answer, HOST:PORT each: four metrics endpoints, and the
    server's gRPC.
    """

    stream: str
    tuner: str
    refresher: str
    server: str
    target: str


@dataclass(frozen=True, kw_only=True)
class Scrape:
    """What a metrics endpoint says.

    Attributes:
        samples: by name, with their labels.
        clock_ahead_seconds: how far its clock is ahead of this machine's, to a second;
            negative: behind; None: it does not say.
    """

    samples: Samples
    clock_ahead_seconds: float | None


def read_metrics(address: str) -> Samples:
    """Return the samples at a metrics endpoint by name, with their labels.

    Raises:
        OSError: nothing answers there, or not in time.
        ValueError: what answers there has no metrics.
    """
    return scrape(address).samples


def scrape(address: str) -> Scrape:
    """Return what a metrics endpoint says.

    Raises:
        OSError: nothing answers there, or not in time.
        ValueError: what answers there has no metrics.
    """
    # A proxy named in the environment has no business between neighbours.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{address}/metrics", timeout=TIMEOUT_SECONDS) as answer:
        text, date = answer.read().decode("utf-8", "replace"), answer.headers.get("Date")
    now = time.time()
    samples: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
    return Scrape(samples=samples, clock_ahead_seconds=_ahead(date, now))


def gather(
    questions: Mapping[str, Callable[[], T]], seconds: float = TIMEOUT_SECONDS
) -> dict[str, T | Exception]:
    """Ask all questions at once, and return each answer or what was raised instead.

    A question that is not answered in time gets a `TimeoutError`; its thread ends with
    the process.

    Args:
        questions: by name.
        seconds: how long all of them together may take.
    """
    answers: dict[str, T | Exception] = {}

    def ask(name: str, question: Callable[[], T]) -> None:
        try:
            answers[name] = question()
        except Exception as error:  # noqa: BLE001  # an answer, too
            answers[name] = error

    threads = [
        threading.Thread(target=ask, args=each, name=f"ask-{each[0]}", daemon=True)
        for each in questions.items()
    ]
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = TimeoutError(f"no answer within {seconds:g} s")
    return {name: answers.get(name, late) for name in questions}


def total(samples: Samples, name: str) -> float | None:
    """Return the sum of a metric over its labels.

    None where it is not exported, or is not a number yet.
    """
    if name not in samples:
        return None
    value = math.fsum(value for _, value in samples[name])
    return value if math.isfinite(value) else None


def label(samples: Samples, name: str, key: str) -> str | None:
    """Return the label value of the sample that is 1."""
    return next((labels.get(key) for labels, value in samples.get(name, []) if value == 1), None)


def cause_of(error: Exception) -> str:
    """Return why an endpoint does not answer, in a few words."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return getattr(reason, "strerror", None) or str(reason) or type(reason).__name__


def _ahead(date: str | None, now: float) -> float | None:
    """Return how far a Date header is ahead; it is cut to whole seconds."""
    try:
        return None if date is None else parsedate_to_datetime(date).timestamp() + 0.5 - now
    except ValueError:
        return None
