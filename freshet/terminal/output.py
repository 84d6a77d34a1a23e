"""How output reads: tables, times, durations."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from freshet.logs.printable import printable

_LINES_AT_ONCE = 1000
"""Lines in one write: a write a line costs more than making the line."""
# Of a title that is told among others: two lines of a terminal. Twice as many are four.
_SHOWN_CHARS = 160


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows as aligned columns under their headers; without headers, there is no
    header line.
    """
    lines = [
        [printable(cell) for cell in line] for line in ([headers, *rows] if any(headers) else rows)
    ]
    widths = [
        max((len(line[column]) for line in lines), default=0) for column in range(len(headers))
    ]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def shortened(text: str) -> str:
    """Return a text such as a title as people read it among others: one of 64 kB is a
    screen after screen. JSON has the whole.
    """
    return text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 1]}…"


def named_values(values: Mapping[str, object]) -> list[tuple[str, str]]:
    """Return a row a value, name and value as people read them.

    A name that ends in ``_ms`` is a time, and read without its unit.
    """
    return [
        (name.removesuffix("_ms").replace("_", " "), _readable(name, value))
        for name, value in values.items()
    ]


def when(time_ms: int) -> str:
    """Return a time as people read it, in UTC."""
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}Z"


def duration(seconds: float) -> str:
    """Return a duration in its two largest units: ``2 h 05 min``, ``-3 s``."""
    whole = round(seconds)
    if whole < 0:
        return f"-{duration(-seconds)}"
    if whole < 60:  # noqa: PLR2004  # a minute
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:  # noqa: PLR2004  # an hour
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:  # noqa: PLR2004  # two days
        return f"{hours} h {minutes:02} min"
    return f"{hours // 24:,} d {hours % 24} h"


def bytes_text(num_bytes: int) -> str:
    """Return a number of bytes in its largest unit: ``2.1 GB``, ``812 bytes``."""
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if num_bytes >= size:
            return f"{num_bytes / size:.1f} {unit}"
    return f"{num_bytes} bytes"


def write_lines(lines: Iterable[str]) -> None:
    """Write any number of lines to stdout."""
    block: list[str] = []
    for line in lines:
        block.append(line)
        if len(block) == _LINES_AT_ONCE:
            sys.stdout.write("\n".join(block) + "\n")
            block.clear()
    if block:
        sys.stdout.write("\n".join(block) + "\n")


def _readable(name: str, value: object) -> str:
    if name.endswith("_ms") and isinstance(value, int):
        return when(value) if value else "none yet"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        return "; ".join(value) or "none"
    return str(value) if value not in (None, "") else "none"
