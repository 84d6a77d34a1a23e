"""The optional library `freshet_native`: plain records and texts in C, with the results
of the Python that does the same without it.
"""

import secrets
from collections.abc import Iterator, MutableMapping, Sequence
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

# The seed of all tables of the process, as long as the library has it. Nobody can guess
# it, so nobody can make two texts that are taken for one.
_SEED = secrets.token_bytes(16)
# The largest number of 32 bits.
_LAST_CHECK = (1 << 32) - 1

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


class LearntTexts(MutableMapping[int, str]):
    """Canonical texts by key: those that a table learns, and others beside them.

    Args:
        plain: which texts the table learns by itself.
        takes_empty: the empty text has the key 0; otherwise it is not plain.

    Attributes:
        table: the keys of texts as they came.
    """

    def __init__(self, plain: Plain, *, takes_empty: bool) -> None:
        self._others: dict[int, str] = {}
        prefix = plain.reserved_prefix.encode()
        self.table = TextTable(
            self._others, _SEED, plain.max_bytes, takes_empty, prefix, plain.forms
        )

    def __getitem__(self, key: int) -> str:
        (text,) = self.table.texts(np.array([key], dtype=np.uint64))
        return self._others[key] if text is None else text

    def __setitem__(self, key: int, text: str) -> None:
        self._others[key] = text

    def __delitem__(self, key: int) -> None:
        del self._others[key]

    def __iter__(self) -> Iterator[int]:
        return iter([*self.table.keys(), *self._others])

    def __len__(self) -> int:
        return len(self.table.keys()) + len(self._others)

    def clear(self) -> None:
        """Forget all texts, those of the table, too."""
        self._others.clear()
        self.table.clear()

    def of(self, keys: NDArray[np.uint64]) -> list[str]:
        """Return the text of each key: ``uint64 [num_keys]``."""
        texts = self.table.texts(np.ascontiguousarray(keys))
        return [
            self._others[int(keys[row])] if text is None else text for row, text in enumerate(texts)
        ]

    def checks_of(self, keys: NDArray[np.uint64]) -> NDArray[np.uint32]:
        """Return the `text_checks` of the text of each key: ``uint32 [num_keys]``."""
        checks = np.empty(len(keys), dtype=np.uint32)
        rows = self.table.checks(np.ascontiguousarray(keys), checks)
        if rows:
            checks[rows] = text_checks([self._others[int(keys[row])] for row in rows])
        return checks


def text_checks(texts: Sequence[str]) -> NDArray[np.uint32]:
    """Return a hash of each text, ``uint32 [num_texts]``, which another process has
    otherwise.
    """
    checks = np.empty(len(texts), dtype=np.uint32)
    for row in freshet_native.text_checks(texts, _SEED, checks):
        checks[row] = hash(texts[row]) & _LAST_CHECK  # half a surrogate pair
    return checks


def cut(packed: bytes, starts: NDArray[np.int64]) -> list[bytes]:
    """Cut bytes into pieces that begin at these places, ascending; the last one ends
    with the bytes.

    Args:
        packed: what is cut.
        starts: ``int64 [num_pieces]``, contiguous.
    """
    return freshet_native.cut(packed, starts)


def indexes_of(ordered: NDArray[np.uint64], asked: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return where each key is among distinct ones in ascending order, ``int64
    [num_asked]``; -1: it is not there. Keys in ascending order are found fastest.
    """
    found = np.empty(len(asked), dtype=np.int64)
    freshet_native.indexes_of(np.ascontiguousarray(ordered), np.ascontiguousarray(asked), found)
    return found


def united(
    first: NDArray[np.uint64], second: NDArray[np.uint64]
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return all keys of two columns of distinct ones in ascending order, ascending,
    and where each is in the first with the second behind it: ``uint64 [num_keys]``,
    ``int64 [num_keys]``. Of a key that both have, the first one's.
    """
    keys, places = freshet_native.united(first, second)
    return np.frombuffer(keys, dtype=np.uint64), np.frombuffer(places, dtype=np.int64)


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
