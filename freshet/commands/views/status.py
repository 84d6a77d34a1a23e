"""`freshet status`: every process on one screen."""

import json
from collections.abc import Sequence
from dataclasses import asdict

import click

from freshet.probe import Addresses, ProcessStatus, read_status
from freshet.terminal import addresses, options
from freshet.terminal.output import duration

# Characters that the name of a fact takes; the longest has 20. Twice as many: a gap
# that the eye cannot cross.
_NAME_WIDTH = 22
# The same of the name of a process; the longest has 9.
_PROCESS_WIDTH = 11


@click.command()
@click.option(
    "--stream",
    default=addresses.STREAM_METRICS,
    show_default=True,
    type=options.ADDRESS,
    help="Metrics address of the stream.",
)
@click.option(
    "--tuner",
    default=addresses.TUNER_METRICS,
    show_default=True,
    type=options.ADDRESS,
    help="Metrics address of the tuner.",
)
@click.option(
    "--refresher",
    default=addresses.REFRESHER_METRICS,
    show_default=True,
    type=options.ADDRESS,
    help="Metrics address of the refresher, if there is one.",
)
@click.option(
    "--server",
    default=addresses.SERVER_METRICS,
    show_default=True,
    type=options.ADDRESS,
    help="Metrics address of the server.",
)
@click.option(
    "--target",
    default=addresses.SERVER_TARGET,
    show_default=True,
    type=options.ADDRESS,
    help="gRPC address of the server.",
)
@options.json_option
def status(  # the options of the command
    *, stream: str, tuner: str, refresher: str, server: str, target: str, as_json: bool
) -> int:
    """Show every process on one screen.

    The exit code is 1 if a process is down or not ready.
    """
    processes = read_status(
        Addresses(stream=stream, tuner=tuner, refresher=refresher, server=server, target=target)
    )
    if as_json:
        click.echo(json.dumps({each.name: asdict(each) for each in processes}, indent=2))
    else:
        click.echo(_as_screen(processes), nl=False)
    return 0 if all(each.up for each in processes) else 1


def _as_screen(processes: Sequence[ProcessStatus]) -> str:
    blocks = []
    for each in processes:
        lines = [f"{each.name:<{_PROCESS_WIDTH}}{_state(each)}  {each.address}"]
        if each.problem:
            lines.append(f"{'':<{_PROCESS_WIDTH}}{each.problem}")
        lines += [
            f"{'':<{_PROCESS_WIDTH}}{_as_text(name, value)}"
            for name, value in each.facts.items()
            if value is not None
        ]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def _state(process: ProcessStatus) -> str:
    if not process.is_wanted:
        return "off "
    if process.up:
        return click.style("up  ", fg="green")
    return click.style("DOWN", fg="red", bold=True)


def _as_text(name: str, value: float | str | None) -> str:
    words = name.removesuffix("_seconds").removesuffix("_age").replace("_", " ")
    if isinstance(value, str):
        return f"{words:<{_NAME_WIDTH}}{value}"
    if name.endswith("_age_seconds"):
        return f"{words:<{_NAME_WIDTH}}{duration(value or 0.0)} ago"
    if name.endswith("_seconds"):
        return f"{words:<{_NAME_WIDTH}}{duration(value or 0.0)}"
    return f"{words:<{_NAME_WIDTH}}{value:,.0f}"
