"""`freshet console`: a page that shows what is fresh, what is not, and why."""

from functools import partial
from pathlib import Path

import click

from freshet.console.generations import Generations
from freshet.console.guard import guard_of
from freshet.console.listener import Listener
from freshet.console.pages import Pages
from freshet.console.watch import LOOK_SECONDS, Watch
from freshet.diagnosis.options import process_options
from freshet.diagnosis.processes import Targets
from freshet.diagnosis.status import look_at
from freshet.process import begin, stop_event
from freshet.terminal import options
from freshet.terminal.addresses import CONSOLE


@click.command()
@process_options
@click.option(
    "--listen",
    type=options.ADDRESS,
    default=CONSOLE,
    show_default=True,
    help="Address of the page.",
)
@click.option(
    "--artifacts",
    type=options.FOLDER,
    metavar="DIR",
    help="Folder of the generations, for when no server answers.",
)
@click.option(
    "--tokens",
    type=options.FILE,
    metavar="FILE",
    help="Lines of `freshet token NAME`; needed beyond loopback.",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="HOST",
    help="A name that browsers reach it by, such as a proxy's (repeatable).",
)
@click.option(
    "--every",
    type=options.DURATION,
    default="2s",
    show_default=True,
    help="Time between two looks at the processes.",
)
@options.config_option
def console(  # the options of the command
    targets: Targets,
    *,
    listen: str,
    artifacts: Path | None,
    tokens: Path | None,
    names: tuple[str, ...],
    every: float,
    config_file: Path | None,
) -> None:
    """Show freshness by stage over time, processes, partitions, generations, the
    quarantine, and why an item is in an answer, on a page in a browser.

    It can be read, and changes nothing. It asks the processes themselves, and keeps a
    day of what it saw in memory. Until SIGTERM or Ctrl-C.

    \b
    freshet console
    freshet console --stream host-1:9101,host-2:9101 --artifacts artifacts
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    if every < 1:
        raise click.UsageError("--every takes 1s at the least", ctx=click.get_current_context())
    begin(config_file, log_level="INFO")
    guard = guard_of(listen, names, tokens)
    watch = Watch(partial(look_at, targets, LOOK_SECONDS), every)
    pages = Pages(watch, Generations(targets.targets, artifacts), tuple(targets.targets))
    listener = Listener(listen, pages, guard)
    with stop_event() as stop:
        watch.start()
        listener.start()
        click.echo(f"console: {listener.url}")
        stop.wait()
        listener.stop()
        watch.stop()
