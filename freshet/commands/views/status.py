"""`freshet status`: every process on one screen, and what is wrong."""

import json
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict

import click

from freshet.diagnosis.options import process_options
from freshet.diagnosis.processes import ProcessStatus, Targets
from freshet.diagnosis.screen import full_text, screen
from freshet.diagnosis.status import is_well, read_status
from freshet.process import stop_event
from freshet.terminal import options
from freshet.terminal.output import when

_EVERY_SECONDS = 2.0
"""Seconds between two looks: each costs every process a scrape. Twice as many: half the
scrapes, and what breaks is seen up to two seconds later.
"""

# As ECMA-48 has them: clear all; home; clear to the end of a line, and of the screen.
_CLEAR, _HOME, _END_OF_LINE, _END_OF_SCREEN = "\x1b[2J", "\x1b[H", "\x1b[K", "\x1b[J"


@click.command()
@process_options
@click.option("--watch", is_flag=True, help="Look again and again, on one screen, until Ctrl-C.")
@click.option(
    "--every",
    type=options.DURATION,
    help="Time between two looks of --watch [default: 2s].",
)
@click.option(
    "--count",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of looks of --watch [default: no end].",
)
@click.option(
    "--all", "has_all", is_flag=True, help="Show every value, zeros and inner counts too."
)
@options.json_option
def status(  # the options of the command
    targets: Targets,
    *,
    watch: bool,
    every: float | None,
    count: int | None,
    has_all: bool,
    as_json: bool,
) -> int:
    """Show every process on one screen, and say what is wrong.

    Each problem comes with the next step and its heading in docs/operations.md. No
    process is waited for longer than two seconds, or six where others are slow to
    answer, too, as on a busy machine. The exit code is 0 if nothing is
    wrong, 1 if something is, 2 if the command line is wrong; with --watch by the last
    look. Where it is no terminal that watches, each look follows the one before, with
    --json as one line.

    \b
    freshet status
    freshet status --stream host-1:9101,host-2:9101 --json
    freshet status --watch
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    if watch and has_all:
        raise click.UsageError(
            "--all is for one look, without --watch", ctx=click.get_current_context()
        )
    if watch:
        return _watch(targets, _EVERY_SECONDS if every is None else every, count, as_json=as_json)
    if every is not None or count is not None:
        raise click.UsageError(
            "--every and --count are for --watch", ctx=click.get_current_context()
        )
    processes = read_status(targets)
    if as_json:
        click.echo(json.dumps(_document(processes), indent=2))
    else:
        click.echo(full_text(processes, has_all=has_all), nl=False)
    return _code(processes)


def _watch(targets: Targets, every: float, count: int | None, *, as_json: bool) -> int:
    """Look until told to stop, or so often; return the code of the last look."""
    is_terminal = sys.stdout.isatty() and not as_json
    looks, code = 0, 0
    if is_terminal:
        click.echo(_CLEAR, nl=False)
    with stop_event() as stop:
        while not stop.is_set() and looks != count:
            began = time.monotonic()
            processes = read_status(targets)
            looks, code = looks + 1, _code(processes)
            click.echo(_look(processes, as_json=as_json, is_terminal=is_terminal), nl=False)
            if looks != count:
                stop.wait(max(0.0, every - (time.monotonic() - began)))
    if is_terminal:
        click.echo()
    return code


def _look(processes: Sequence[ProcessStatus], *, as_json: bool, is_terminal: bool) -> str:
    at_ms = time.time_ns() // 1_000_000
    if as_json:
        return json.dumps({"at_ms": at_ms, "processes": _document(processes)}) + "\n"
    size = shutil.get_terminal_size()
    if not is_terminal:
        lines = [when(at_ms), *screen(processes, width=sys.maxsize, height=sys.maxsize), ""]
        return "\n".join(lines) + "\n"
    # The last line is the time, and the cursor stays behind it: nothing scrolls.
    lines = screen(processes, width=size.columns, height=size.lines - 2)
    body = "".join(f"{line}{_END_OF_LINE}\n" for line in [*lines, ""])
    return f"{_HOME}{body}{when(at_ms)}  Ctrl-C ends{_END_OF_LINE}{_END_OF_SCREEN}"


def _document(processes: Sequence[ProcessStatus]) -> dict[str, object]:
    """Return the status for scripts: an object a process, by name."""
    return {
        each.name: asdict(each) | {"problem": each.problem, "well": not each.problems}
        for each in processes
    }


def _code(processes: Sequence[ProcessStatus]) -> int:
    return 0 if is_well(processes) else 1
