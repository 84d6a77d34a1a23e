"""How the demo ends: what still runs, and commands to try next."""

import shlex
import shutil
import sys
from pathlib import Path

from freshet.demo.queries import Queries
from freshet.demo.stage import Stage
from freshet.terminal.addresses import SERVER_TARGET


def say_farewell(stage: Stage, queries: Queries) -> None:
    """Stop the processes, or let them outlive the demo; print what to try next."""
    if stage.plan.keep:
        heading, commands = "Everything keeps running.", _with_processes(stage, queries)
        stage.folder.state.pids = stage.children.pids
        stage.folder.save()
        stage.children.release()
    else:
        heading, commands = "Everything is shut down.", _without_processes(stage, queries)
        stage.children.stop()
    lines = [f"{command_name()} {shlex.join(command)}" for command in commands]
    seconds = stage.story.elapsed_seconds
    stage.story.close(f"{heading} Try next: ({seconds:.0f} s in all)", lines)


def command_name() -> str:
    """Return how this command can be called again."""
    if shutil.which("freshet"):
        return "freshet"
    started_as = Path(sys.argv[0]).absolute()
    if started_as.name != "freshet":
        return "python -m freshet"
    here = Path.cwd()
    return str(started_as.relative_to(here) if started_as.is_relative_to(here) else started_as)


def _with_processes(stage: Stage, queries: Queries) -> list[list[str]]:
    at = stage.at
    metrics = ["--stream", at.stream, "--tuner", at.tuner]
    metrics += ["--refresher", at.refresher, "--server", at.server]
    return [
        ["status", *metrics, "--target", at.target],
        ["query", queries.frequent, "--target", at.target],
        *_look(stage),
        ["demo", "--stop", "--dir", str(stage.folder.root)],
    ]


def _without_processes(stage: Stage, queries: Queries) -> list[list[str]]:
    folder = stage.folder
    return [
        ["demo", "--keep", "--dir", str(folder.root), *stage.plan.flags()],
        ["serve", "--artifacts", str(folder.artifacts), "--listen", SERVER_TARGET],
        ["query", queries.frequent],
        *_look(stage),
    ]


def _look(stage: Stage) -> list[list[str]]:
    folder = stage.folder
    return [
        ["graph", "stats", "--store", str(folder.store)],
        ["generations", "list", "--artifacts", str(folder.artifacts)],
    ]
