"""Runs the demo: starts the processes and prints the steps with their answers."""

import shlex
from pathlib import Path

import click

from freshet.demo import steps
from freshet.demo.farewell import say_farewell
from freshet.demo.narrator import Narrator
from freshet.demo.options import DemoPlan
from freshet.demo.ports import choose_addresses
from freshet.demo.processes import DemoProcesses, stop_leftover_processes
from freshet.demo.stage import Stage
from freshet.demo.work_folder import WorkFolder, open_work_folder, running_pids
from freshet.process import ended_by_signals, signals_ignored
from freshet_client import RetrievalClient


def run_demo(plan: DemoPlan) -> None:
    """Run the demo.

    Raises:
        CommandError: a process ended, or something did not happen in time; nothing is
            left running.
    """
    try:
        with ended_by_signals(), open_work_folder(plan.folder, plan.recipe()) as folder:
            _run_in(folder, plan)
    except KeyboardInterrupt:
        if plan.folder.exists():
            remove = f"rm -r {shlex.quote(str(plan.folder))}"
            click.echo(
                f"{plan.folder} stays: the next demo continues there, or remove it ({remove})",
                err=True,
            )
        raise


def _run_in(folder: WorkFolder, plan: DemoPlan) -> None:
    children = DemoProcesses(folder.logs, folder.lock)
    try:
        _tell(plan, folder, children, Narrator())
    except KeyboardInterrupt:
        click.echo("\nstopping everything", err=True)
        raise
    finally:
        with signals_ignored():
            children.stop()
            children.close()


def stop_demo(folder: Path) -> None:
    """Stop what ``--keep`` left running in a work folder."""
    stopped = stop_leftover_processes(running_pids(folder))
    click.echo(f"stopped {', '.join(stopped)}" if stopped else f"nothing is running in {folder}")


def _tell(plan: DemoPlan, folder: WorkFolder, children: DemoProcesses, story: Narrator) -> None:
    at = choose_addresses(default_ports=plan.keep)
    with RetrievalClient(at.target, retry=None) as client:
        stage = Stage(
            plan=plan, folder=folder, children=children, story=story, at=at, client=client
        )
        story.open(f"Freshet: events in, fresh answers out. Work folder: {folder.root}")
        steps.open_shop(stage)
        steps.start_stream_and_server(stage)
        steps.await_graph(stage)
        steps.start_shoppers(stage)
        if plan.events is not None:
            steps.choose(stage)  # a log without queries ends the demo before a training
        steps.await_generation(stage)
        queries = steps.choose(stage)
        steps.ask(stage, queries)
        steps.launch(stage, queries)
        say_farewell(stage, queries)
