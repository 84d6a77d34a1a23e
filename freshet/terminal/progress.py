"""Shows the progress of long work on stderr: a bar on a terminal, else a line every few
seconds.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from freshet.terminal.output import duration

Advance = Callable[[float, float | None], None]

LINE_EVERY_SECONDS = 5.0
"""Seconds between two lines if stderr is no terminal: often enough to see progress, and
720 lines in an hour's log. Twice as much halves both.
"""


@contextmanager
def progress(title: str, unit: str, *, quiet: bool = False) -> Iterator[Advance]:
    """Yield a function that takes how much is done, in `unit`, and of how much
    (None: unknown); `quiet`: it shows nothing.
    """
    if quiet:
        yield lambda _done, _total: None
    elif sys.stderr.isatty():
        with _bar(title) as advance:
            yield advance
    else:
        yield _lines(title, unit)


@contextmanager
def _bar(title: str) -> Iterator[Advance]:
    from rich.console import Console  # noqa: PLC0415  # a log file gets no bar
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _lines(title: str, unit: str) -> Advance:
    written = started = time.monotonic()

    def advance(done: float, total: float | None) -> None:
        nonlocal written
        now = time.monotonic()
        if now - written < LINE_EVERY_SECONDS:
            return
        written = now
        share = f" of {total:,.0f} ({100 * done / total:.0f}%)" if total else ""
        seconds = now - started
        left = f", about {duration(seconds * (total - done) / done)} left" if total and done else ""
        click.echo(f"{title}: {done:,.0f}{share} {unit} after {seconds:,.0f} s{left}", err=True)

    return advance
