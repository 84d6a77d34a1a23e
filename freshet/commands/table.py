"""The table of commands: what `freshet --help` lists, without importing any of them.

A new command is a file in the package of its section, and a line here.
"""

from dataclasses import dataclass
from typing import NamedTuple


class Entry(NamedTuple):
    """One command: ``PACKAGE.NAME`` declares it, as a click command called ``NAME``.

    Attributes:
        name: as it is typed.
        summary: what it does, in one line.
        extra: the extra of the installation that it needs; empty: none.
    """

    name: str
    summary: str
    extra: str


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
    entries: tuple[Entry, ...]


SECTIONS = (
    Section(
        "Run it",
        "freshet.commands.services",
        (
            Entry("stream", "Read events from Kafka or files into the graph.", "stream"),
            Entry("tune", "Tune the model on the graph, again and again.", "model"),
            Entry("serve", "Answer queries over gRPC from the newest generation.", "server"),
        ),
    ),
    Section(
        "Try it",
        "freshet.commands.trials",
        (
            Entry("demo", "The whole system in two minutes, on this machine.", "all"),
            Entry(
                "simulate", "A shop that never sleeps: events and a catalogue, by seed.", "stream"
            ),
            Entry("replay", "Publish event files to Kafka at N times real time.", "stream"),
            Entry("query", "Ask a running server.", "client"),
        ),
    ),
    Section(
        "Look",
        "freshet.commands.views",
        (
            Entry(
                "status", "Every process on one screen: up or down, how fresh, why not.", "client"
            ),
            Entry("graph", "Look into the graph: hash, dump, stats.", "stream"),
            Entry("verify", "Compare a store with what its source makes.", "stream"),
            Entry("generations", "List, show, and roll back to a generation.", "model"),
            Entry(
                "explain",
                "Why an item answers a query: the clicks and sessions that link them.",
                "",
            ),
            Entry("quarantine", "List what could not be used, and why.", "stream"),
            Entry("erasures", "List what was erased: what, when, how many facts.", "stream"),
            Entry("config", "Every setting, its value, and where it comes from.", ""),
        ),
    ),
    Section(
        "By hand",
        "freshet.commands.jobs",
        (
            Entry("snapshot", "Take a consistent snapshot of the graph.", "stream"),
            Entry("train", "Train one generation and publish it.", "model"),
            Entry(
                "evaluate",
                "Say how good retrieval is on a log's own future, beside baselines.",
                "model",
            ),
            Entry(
                "upgrade",
                "Bring a store that an earlier version wrote to the present format.",
                "stream",
            ),
            Entry("erase", "Forget a user, a session or an item, for good.", "stream"),
        ),
    ),
)
