"""Plain records to columns, texts to keys by the thousand, and the nearest of vectors:
in C what Freshet does in Python, with the same results.
"""

from freshet_native._records import (
    TextColumn,
    TextTable,
    cut,
    indexes_of,
    read_batches,
    read_events,
    read_neutral,
    text_checks,
    united,
)
from freshet_native._vectors import codes_of, nearest, nearest_in_cells

__all__ = [
    "TextColumn",
    "TextTable",
    "codes_of",
    "cut",
    "indexes_of",
    "nearest",
    "nearest_in_cells",
    "read_batches",
    "read_events",
    "read_neutral",
    "text_checks",
    "united",
]
