"""The optional library `freshet_native`: plain records and texts in C, with the results
of the Python that does the same without it.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

IS_HERE = find_spec("freshet_native") is not None
"""Whether the library is installed.

Where it is not, no function below may be called.
"""

if IS_HERE or TYPE_CHECKING:
    import freshet_native
    from freshet_native import TextTable

# Bytes of the seed of a table, as the library has it. Nobody can guess it, so nobody
# can make two texts that are taken for one.
_SEED_BYTES = 16

Columns = tuple[
    bytearray,
    bytearray,
    bytearray,
    Sequence[str],
    Sequence[str],
    Sequence[str],
    Sequence[str],
    list[int],
]
"""Times (``int64``), actions (``int64``), rows (``int32``), sessions, users, queries
and items of events, and the rows that were left.
"""

Indexes = tuple[bytearray, bytearray, bytearray]
"""Where the session (and user), the query and the item of each event are in their
tables: ``int64 [num_events]`` each.
"""


@dataclass(frozen=True, slots=True)
class Plain:
    """Which texts have a canonical form that needs no closer look: those that are
    neither blank nor longer than this, before and after.

    Attributes:
        max_bytes: how long they may be in UTF-8.
        reserved_prefix: what none of them may begin with; empty: anything may be.
        forms: what each byte of an ASCII text becomes, runs of spaces then being one
            and none at the ends; other texts, and those with ``&``, are not plain.
            Empty: every text is its own canonical form.
    """

    max_bytes: int
    reserved_prefix: str = ""
    forms: bytes = b""


def text_table(texts: dict[int, str], plain: Plain, *, takes_empty: bool) -> "TextTable":
    """Return a table of no texts yet.

    Args:
        texts: filled with the canonical text of each key.
        plain: which texts it knows by itself.
        takes_empty: the empty text has the key 0; otherwise it is not plain.
    """
    seed = secrets.token_bytes(_SEED_BYTES)
    prefix = plain.reserved_prefix.encode()
    return TextTable(texts, seed, plain.max_bytes, takes_empty, prefix, plain.forms)


def cut(packed: bytes, starts: NDArray[np.int64]) -> list[bytes]:
    """Cut bytes into pieces that begin at these places, ascending; the last one ends
    with the bytes.

    Args:
        packed: what is cut.
        starts: ``int64 [num_pieces]``, contiguous.
    """
    return freshet_native.cut(packed, starts)


def read_neutral(
    values: Sequence[Any], rows: list[int], actions: tuple[tuple[str, int, bool], ...]
) -> Columns:
    """Read plain neutral lines, with the names, the numbers and whether each needs a
    query, of actions.
    """
    return freshet_native.read_neutral(values, rows, actions)


def read_events(values: Sequence[Any], rows: list[int]) -> Columns:
    """Read plain protobuf messages `Event`."""
    return freshet_native.read_events(values, rows)


def read_batches(values: Sequence[Any], rows: list[int]) -> tuple[Columns, Indexes]:
    """Read plain protobuf messages `EventBatch`, by tables of texts."""
    found = freshet_native.read_batches(values, rows)
    return found[:8], found[8:]
