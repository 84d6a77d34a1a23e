"""Plain records to columns, and texts to keys by the thousand: in C what Freshet's
stream does in Python, with the same results.
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

__all__ = [
    "TextColumn",
    "TextTable",
    "cut",
    "indexes_of",
    "read_batches",
    "read_events",
    "read_neutral",
    "text_checks",
    "united",
]
