"""The tables of docs/reference.md and docs/operations.md, from the code.

``python -m tests.freshet.reference`` writes them.
"""

import ast
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import click
from prometheus_client import CollectorRegistry

from freshet.certificates import watch_certificates
from freshet.commands.cli import cli
from freshet.commands.table import SECTIONS
from freshet.config import SETTINGS, load_config
from freshet.metrics import name_process, watch_disks
from freshet.prober.metrics import ProbeMetrics
from model.metrics import TunerMetrics
from model.refresher.metrics import RefresherMetrics
from model.sink.metrics import SinkMetrics
from server.metrics.answering import ServerMetrics
from server.metrics.calls import CallMetrics
from server.metrics.index import IndexMetrics
from server.metrics.overlay import OverlayMetrics
from server.metrics.workers import WorkerMetrics
from stream.metrics import StreamMetrics
from stream.reasons import REASONS

_DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = (_DOCS / "reference.md", _DOCS / "operations.md")


def tables() -> dict[str, str]:
    """Return every table by the name of its place in a page."""
    return {
        "commands": _table(("command", "what it does"), _commands()),
        "metrics": _table(("metric", "labels", "what it says"), _metrics()),
        "errors": _table(("error", "again by itself?", "what it means, and what to do"), _errors()),
        "reasons": _table(
            ("reason", "what was wrong"), ((f"`{name}`", text) for name, text in REASONS.items())
        ),
        **{
            f"settings-{name}": _table(("key", "default", "what it does"), _settings(name))
            for name in SETTINGS
        },
    }


def pages_with(made: dict[str, str]) -> dict[Path, str]:
    """Return the pages with each table between its two marks replaced.

    Raises:
        ValueError: a table has no place, or more than one.
    """
    texts = {page: page.read_text(encoding="utf-8") for page in PAGES}
    for name, table in made.items():
        begin, end = f"<!-- table {name} -->", f"<!-- end {name} -->"
        pattern = re.compile(f"{begin}\n.*?{end}", re.DOTALL)
        places = [page for page, text in texts.items() if pattern.search(text)]
        if len(places) != 1:
            raise ValueError(f"the table {name} has {len(places)} places, not one, in docs/")
        (page,) = places
        new = f"{begin}\n{table}\n{end}"
        texts[page] = pattern.sub(lambda _: new, texts[page])  # noqa: B023  # called at once
    return texts


def _table(headers: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [headers, tuple("---" for _ in headers), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def _commands() -> Iterator[tuple[str, ...]]:
    context = click.Context(cli)
    for section in SECTIONS:
        yield f"**{section.title}**", ""
        for entry in section.entries:
            command = cli.get_command(context, entry.name)
            if not isinstance(command, click.Group):
                yield f"`freshet {entry.name}`", entry.summary
                continue
            for name, each in command.commands.items():
                yield f"`freshet {entry.name} {name}`", each.get_short_help_str(limit=200)


def _metrics() -> Iterator[tuple[str, ...]]:
    makes: tuple[Callable[[CollectorRegistry], object], ...] = (
        partial(name_process, process="stream"),
        partial(watch_disks, folders={}),
        partial(watch_certificates, of_ports={}),
        StreamMetrics,
        TunerMetrics,
        RefresherMetrics,
        ServerMetrics,
        OverlayMetrics,
        CallMetrics,
        IndexMetrics,
        partial(WorkerMetrics, workers=1),
        ProbeMetrics,
        SinkMetrics,
    )
    for make in makes:
        registry = CollectorRegistry()
        make(registry)
        labels = {
            collector._name: ", ".join(collector._labelnames)  # type: ignore[attr-defined]  # nothing public tells
            for collector in registry._collector_to_names
            if hasattr(collector, "_name")
        }
        for family in registry.collect():
            name = family.name + ("_total" if family.type == "counter" else "")
            yield f"`{name}`", labels.get(family.name, ""), family.documentation.removesuffix(".")


def _errors() -> Iterator[tuple[str, ...]]:
    for package in ("stream", "model", "server", "freshet_client"):
        module = importlib.import_module(f"{package}.errors")
        for name, error in vars(module).items():
            if inspect.isclass(error) and error.__module__ == module.__name__:
                yield (
                    f"`{name}` ({package})",
                    "yes" if getattr(error, "retriable", False) else "no",
                    _sentences(error.__doc__ or ""),
                )


def _settings(table: str) -> Iterator[tuple[str, ...]]:
    kind = SETTINGS[table]
    meanings: dict[str, str] = {}
    for part in kind.__mro__[:-1]:
        module = importlib.import_module(part.__module__)
        meanings |= _attribute_docstrings(inspect.getsource(module), part.__name__)
    for entry in load_config(None, {}).entries:
        if entry.table == table:
            yield f"`{entry.key}`", f"`{entry.value}`", _sentences(meanings[entry.key])


def _attribute_docstrings(source: str, class_name: str) -> dict[str, str]:
    (body,) = [
        node.body
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef) and node.name == class_name
    ]
    meanings: dict[str, str] = {}
    for field, text in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            is_docstring = isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
            meanings[field.target.id] = str(text.value.value) if is_docstring else ""  # type: ignore[attr-defined]  # checked
    return meanings


def _sentences(docstring: str) -> str:
    prose, *_ = re.split(r"\n\s*\n\s*(?:Args|Attributes):", docstring)
    return " ".join(prose.split()).replace("``", "`")


if __name__ == "__main__":
    for page, text in pages_with(tables()).items():
        page.write_text(text, encoding="utf-8")
