"""Figures as every measurement shows them.

A line of a table as they come, and JSON lines at the end.
"""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the result.

    Attributes:
        name: what was measured.
        value: in `unit`.
        unit: of the value.
        target: what it should be; empty: it is there to compare with.
        note: what it depends on.
    """

    name: str
    value: float
    unit: str
    target: str = ""
    note: str = ""


def machine() -> dict[str, object]:
    """Return what the figures were measured on."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        **{name: version(name) for name in ("kafka-python", "rocksdict", "protobuf", "msgspec")},
    }


def print_header() -> None:
    """Print what the figures are measured on, and the heads of the columns."""
    print(" ".join(f"{name}={value}" for name, value in machine().items()))
    print(f"{'':44} {'':>10} {'':14} {'target':12}")


def print_figure(figure: Figure) -> None:
    """Print one line of the table."""
    value = f"{figure.value:,.0f}" if figure.value >= 1000 else f"{figure.value:g}"  # noqa: PLR2004  # digits enough
    line = f"{figure.name:44} {value:>10} {figure.unit:14} {figure.target:12} {figure.note}"
    print(line.rstrip(), flush=True)


def write_json(
    bench: str, figures: Sequence[Figure], path: Path | None, conditions: Mapping[str, object]
) -> None:
    """Print one JSON line a figure, and write the same lines to a file where one is
    given.
    """
    where = machine()
    lines = [
        json.dumps({"bench": bench, **conditions, **asdict(each), "machine": where})
        for each in figures
    ]
    print("\n".join(lines))
    if path:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
