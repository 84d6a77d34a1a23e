"""`freshet demo`: the whole system in two minutes."""

from pathlib import Path

import click

from freshet.demo.demo import run_demo, stop_demo
from freshet.demo.options import DEFAULT_EVENTS, DEFAULT_ITEMS, DEFAULT_SEED, DemoPlan
from freshet.terminal import options


@click.command()
@click.option(
    "--events",
    type=options.FILE,
    metavar="FILE",
    help="Use your own event log instead of the simulated shop.",
)
@click.option("--items", type=options.FILE, metavar="FILE", help="Catalogue of your own event log.")
@click.option("--keep", is_flag=True, help="Leave everything running at the end.")
@click.option("--stop", is_flag=True, help="Stop what --keep left running.")
@click.option(
    "--dir",
    "folder",
    type=options.FOLDER,
    default=Path(".freshet-demo"),
    show_default=True,
    metavar="DIR",
    help="Work folder; a second run continues in it.",
)
@click.option(
    "--seed",
    type=int,
    default=DEFAULT_SEED,
    show_default=True,
    help="Seed of the simulated shop.",
)
@click.option(
    "--shop-items",
    type=click.IntRange(min=50),
    metavar="N",
    default=DEFAULT_ITEMS,
    show_default=True,
    help="Products of the simulated shop.",
)
@click.option(
    "--shop-events",
    type=click.IntRange(min=500),
    metavar="N",
    default=DEFAULT_EVENTS,
    show_default=True,
    help="Past events of the simulated shop.",
)
def demo(  # noqa: PLR0913  # an argument an option
    *,
    events: Path | None,
    items: Path | None,
    keep: bool,
    stop: bool,
    folder: Path,
    seed: int,
    shop_items: int,
    shop_events: int,
) -> None:
    """Watch shopping events flow through the whole system and change its answers.

    Stream, tuner and server run as processes on this machine. Ctrl-C ends all of them.
    """
    if items is not None and events is None:
        raise click.UsageError("--items goes with --events", ctx=click.get_current_context())
    if stop:
        stop_demo(folder)
        return
    plan = DemoPlan(
        folder=folder,
        events=events,
        items=items,
        seed=seed,
        shop_items=shop_items,
        shop_events=shop_events,
        keep=keep,
    )
    run_demo(plan)
