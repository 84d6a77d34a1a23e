"""Events as JSON lines, as users have them in files."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

CLICK = {
    "type": "search_click",
    "session_id": "s1",
    "user_id": "u1",
    "query": "Red Shoes!",
    "item_id": "i1",
}
"""A click, but for its time."""


def write_lines(path: Path, lines: Sequence[Mapping[str, object]]) -> Path:
    """Write JSON lines to a file and return its path."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path
