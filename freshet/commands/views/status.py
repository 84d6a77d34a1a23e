"""`freshet status`: every process on one screen, and what is wrong."""

import json
from collections.abc import Sequence
from dataclasses import asdict

import click

from freshet.diagnosis.options import process_options
from freshet.diagnosis.processes import ProcessStatus, Targets, Value
from freshet.diagnosis.status import headline, is_well, read_status
from freshet.terminal import options
from freshet.terminal.output import duration, printable

# Characters that the name of a fact takes; the longest has 20. Twice as many: a gap
# that the eye cannot cross.
_NAME_WIDTH = 22
# The same of the name of a process; the longest has 9.
_PROCESS_WIDTH = 11


@click.command()
@process_options
@options.json_option
def status(targets: Targets, *, as_json: bool) -> int:
    """Show every process on one screen, and say what is wrong.

    Each problem comes with the next step and its heading in docs/operations.md. No
    process is waited for longer than two seconds. The exit code is 0 if nothing is
    wrong, 1 if something is, 2 if the command line is wrong.

    \b
    freshet status
    freshet status --stream host-1:9101,host-2:9101 --json
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    processes = read_status(targets)
    if as_json:
        click.echo(json.dumps(as_document(processes), indent=2))
    else:
        click.echo(_as_screen(processes), nl=False)
    return 0 if is_well(processes) else 1


def as_document(processes: Sequence[ProcessStatus]) -> dict[str, object]:
    """Return the status for scripts: an object a process, by name."""
    return {
        each.name: asdict(each) | {"problem": each.problem, "well": not each.problems}
        for each in processes
    }


def _as_screen(processes: Sequence[ProcessStatus]) -> str:
    return "\n".join([f"{headline(processes)}\n", *map(_block, processes)])


def _block(process: ProcessStatus) -> str:
    lines = [f"{process.name:<{_PROCESS_WIDTH}}{state_of(process)}  {process.address}"]
    for problem in process.problems:
        lines.append(printable(problem.text))
        lines.append(printable(f"  next: {problem.step} ({problem.runbook})"))
    if process.note:
        lines.append(printable(process.note))
    lines += [_as_text(name, value) for name, value in process.facts.items() if value is not None]
    return f"\n{'':<{_PROCESS_WIDTH}}".join(lines) + "\n"


def state_of(process: ProcessStatus) -> str:
    """Return in four characters how a process is."""
    if not process.is_wanted:
        return "off "
    if not process.up:
        return click.style("DOWN", fg="red", bold=True)
    if process.problems:
        return click.style("WARN", fg="yellow", bold=True)
    return click.style("up  ", fg="green")


def _as_text(name: str, value: Value) -> str:
    words = name.removesuffix("_seconds").removesuffix("_age").replace("_", " ")
    if isinstance(value, str):
        return f"{words:<{_NAME_WIDTH}}{printable(value)}"
    if name.endswith("_age_seconds"):
        return f"{words:<{_NAME_WIDTH}}{duration(value or 0.0)} ago"
    if name.endswith("_seconds"):
        return f"{words:<{_NAME_WIDTH}}{duration(value or 0.0)}"
    if name.endswith(("_recall", "_overlap", "_cosine")):
        return f"{words:<{_NAME_WIDTH}}{value:.3f}"
    return f"{words:<{_NAME_WIDTH}}{value:,.0f}"
