"""The table of commands: what `freshet --help` lists, without importing any of them.

A new command is a file in the package of its section, and a line here.
"""

from dataclasses import dataclass
from typing import NamedTuple


class CommandEntry(NamedTuple):
    """One command: ``PACKAGE.MODULE`` declares it, as a click command called
    ``MODULE``.

    Attributes:
        name: what a user types.
        summary: what it does, in one line.
        extras: the extras of the installation that it needs.
    """

    name: str
    summary: str
    extras: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        """The name of its module."""
        return self.name.replace("-", "_")


@dataclass(frozen=True)
class Section:
    """Commands that serve one purpose.

    Attributes:
        title: how help calls it.
        package: where the modules of its commands are.
        entries: its commands, in the order of help.
    """

    title: str
    package: str
    entries: tuple[CommandEntry, ...]


SERVICES = Section(
    "Run it",
    "freshet.commands.services",
    (
        CommandEntry("stream", "Read events from Kafka or files into the graph.", ("stream",)),
        CommandEntry("tune", "Train on the graph and publish, again and again.", ("model",)),
        CommandEntry("refresh", "Bring clicks into answers within seconds.", ("stream",)),
        CommandEntry(
            "serve",
            "Answer queries over gRPC from the newest generation.",
            ("server",),
        ),
        CommandEntry("sink", "Keep PostgreSQL with pgvector as fresh as answers.", ("pgvector",)),
        CommandEntry(
            "probe", "Walk the path from a topic to an answer, and time it.", ("stream", "client")
        ),
        CommandEntry(
            "console", "Show in a browser what is fresh, what is not, and why.", ("client",)
        ),
    ),
)
"""What runs until it is stopped."""

SECTIONS = (
    SERVICES,
    Section(
        "Try it",
        "freshet.commands.trials",
        (
            CommandEntry(
                "demo",
                "Show the whole system at work in two minutes.",
                ("stream", "model", "server"),
            ),
            CommandEntry(
                "simulate",
                "Simulate a shop: its catalogue and its events, by seed.",
                ("stream",),
            ),
            CommandEntry(
                "replay",
                "Publish event files to Kafka, at N times real time.",
                ("stream",),
            ),
            CommandEntry(
                "publish", "Publish a click, or an item's deletion, to Kafka.", ("stream",)
            ),
            CommandEntry("query", "Query a running server.", ("client",)),
            CommandEntry("try-events", "Say how each line of a file would be read, and why not."),
        ),
    ),
    Section(
        "Look",
        "freshet.commands.views",
        (
            CommandEntry("status", "Show every process: up or down, how fresh, what is wrong."),
            CommandEntry("why-stale", "Say which stage holds answers up, why, and what to do."),
            CommandEntry("graph", "Print the hash, the edges or the size of a graph.", ("stream",)),
            CommandEntry(
                "verify",
                "Check that a store holds the graph its source makes.",
                ("stream",),
            ),
            CommandEntry(
                "generations",
                "List generations, show one, or roll back to one.",
                ("model",),
            ),
            CommandEntry("explain", "Show which clicks and sessions link a query to an item."),
            CommandEntry(
                "quarantine",
                "List the rejected records, or let them in now.",
                ("stream",),
            ),
            CommandEntry(
                "erasures",
                "List what was erased: what, when, how many facts.",
                ("stream",),
            ),
            CommandEntry("config", "Show every setting, its value, and where it comes from."),
        ),
    ),
    Section(
        "By hand",
        "freshet.commands.jobs",
        (
            CommandEntry("snapshot", "Take a consistent snapshot of the graph.", ("stream",)),
            CommandEntry("backup", "Back up a store and its generations.", ("stream",)),
            CommandEntry("restore", "Restore a backup into empty folders.", ("stream",)),
            CommandEntry("train", "Train one generation and publish it.", ("model",)),
            CommandEntry(
                "evaluate",
                "Measure retrieval on a log's own future, beside baselines.",
                ("model",),
            ),
            CommandEntry(
                "upgrade",
                "Convert a store of an earlier version to today's format.",
                ("stream",),
            ),
            CommandEntry("reshard", "Give a store more shards, for more partitions.", ("stream",)),
            CommandEntry("token", "Make a token that lets a caller of a server in."),
            CommandEntry("erase", "Forget a user, a session or an item, for good.", ("stream",)),
        ),
    ),
)
