"""Plain records to columns, texts to keys by the thousand, the nearest of vectors, sums
of them, plain requests, and hits to bytes: in C what Freshet does in Python, with the
same results.
"""

from freshet_native._answers import hits_of
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
from freshet_native._requests import plain_request, row_of
from freshet_native._vectors import (
    add_products,
    codes_of,
    moves_of,
    nearest,
    nearest_in_cells,
)

__all__ = [
    "TextColumn",
    "TextTable",
    "add_products",
    "codes_of",
    "cut",
    "hits_of",
    "indexes_of",
    "moves_of",
    "nearest",
    "nearest_in_cells",
    "plain_request",
    "read_batches",
    "read_events",
    "read_neutral",
    "row_of",
    "text_checks",
    "united",
]
