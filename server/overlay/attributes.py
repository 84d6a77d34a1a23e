"""The attributes of an overlay's items, a column at a time, made when a filter first
asks for it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np

from model.artifact.generation import Generation
from model.artifact.overlay.encoding import read_attributes
from model.artifact.overlay.segment import OverlayRows
from protos.attributes import is_askable, members_of, number_of
from stream.dtypes import Bools, Float64s, Int64s


@dataclass(frozen=True, kw_only=True)
class OverlayColumn:
    """What the items of an overlay have of one attribute.

    Attributes:
        values: ``int64 [num_rows]``, the value of each row, by its place in `texts`;
            -1: it has none.
        texts: the distinct values.
        owners: for each text that is a value or a member of one, the values that it is
            or is in.
        numbers: ``float64 [n]``, values and members that are numbers.
        number_owners: ``int64 [n]``, the values that these are or are in.
    """

    values: Int64s
    texts: tuple[str, ...]
    owners: Mapping[str, Sequence[int]]
    numbers: Float64s
    number_owners: Int64s

    @property
    def is_there(self) -> bool:
        """Whether an item has the attribute."""
        return bool(self.texts)

    def rows_with(self, accepted: Sequence[int] | Int64s) -> Bools:
        """Return ``bool [num_rows]``, which rows have one of these values."""
        table = np.zeros(len(self.texts) + 1, dtype=np.bool_)
        table[accepted] = True
        table[-1] = False  # where the rows without a value look
        found: Bools = table[self.values]
        return found


_NOTHING = OverlayColumn(
    values=np.zeros(0, dtype=np.int64),
    texts=(),
    owners={},
    numbers=np.zeros(0, dtype=np.float64),
    number_owners=np.zeros(0, dtype=np.int64),
)


class OverlayAttributes:
    """The attributes of an overlay's rows.

    Any number of threads may ask; two that ask first at once both make the column.

    Args:
        rows: the rows.
        generation: the generation beside which they are.
        items_of: where items are in it, by their ids; -1: nowhere in its index.
        read: what was read before of overlays beside it.
    """

    def __init__(
        self,
        rows: OverlayRows,
        generation: Generation,
        items_of: Callable[[Sequence[str]], Int64s],
        read: "ReadAttributes",
    ) -> None:
        self._rows = rows
        self._table = generation.attributes
        self._items_of = items_of
        self._read = read
        self._columns: dict[str, OverlayColumn] = {}

    def column(self, name: str) -> OverlayColumn:
        """Return what the rows have of an attribute."""
        if not self._rows.item_ids:
            return _NOTHING
        found = self._columns.get(name)
        if found is None:
            found = self._make(name)
            # Names that nobody has are not kept: callers make them up.
            if found.is_there:
                self._columns[name] = found
        return found

    def _make(self, name: str) -> OverlayColumn:
        texts: dict[str, int] = {}
        values = np.full(len(self._rows.item_ids), -1, dtype=np.int64)
        for row, own in self._own.items() if name in self._own_names else ():
            text = own.get(name, "")
            if is_askable(text):
                values[row] = texts.setdefault(text, len(texts))
        self._inherit(name, values, texts)
        owners: dict[str, list[int]] = {}
        for text, number in texts.items():
            for each in (text, *members_of(text)):
                owners.setdefault(each, []).append(number)
        numbers = {text: number_of(text) for text in owners}
        found = [
            (numbers[text], number)
            for text, of_text in owners.items()
            if numbers[text] == numbers[text]  # no number is NaN
            for number in of_text
        ]
        return OverlayColumn(
            values=values,
            texts=tuple(texts),
            owners=owners,
            numbers=np.array([number for number, _ in found], dtype=np.float64),
            number_owners=np.array([owner for _, owner in found], dtype=np.int64),
        )

    def _inherit(self, name: str, values: Int64s, texts: dict[str, int]) -> None:
        """Fill in what the generation has of rows that say nothing themselves."""
        table = self._table
        number = None if table is None else table.number_of_name.get(name)
        if table is None or number is None:
            return
        rows, items = self._silent
        inherited = table.of_items(number, items)
        distinct, of_row = np.unique(inherited, return_inverse=True)
        places = [
            -1 if value < 0 else texts.setdefault(table.values[value], len(texts))
            for value in distinct.tolist()
        ]
        values[rows] = np.array(places, dtype=np.int64)[of_row]

    @cached_property
    def _own(self) -> Mapping[int, Mapping[str, str]]:
        """The attributes of the rows that say what theirs are, by row."""
        return self._read.of_rows(self._rows.item_attributes)

    @cached_property
    def _own_names(self) -> frozenset[str]:
        return frozenset(chain.from_iterable(self._own.values()))

    @cached_property
    def _silent(self) -> tuple[Int64s, Int64s]:
        """The rows that say nothing, and the items of the generation behind them."""
        said = self._rows.item_attributes
        rows = np.array([row for row, text in enumerate(said) if not text], dtype=np.int64)
        ids = self._rows.item_ids
        return rows, self._items_of([ids[row] for row in rows.tolist()])


class ReadAttributes:
    """JSON of attributes, each read once as long as an overlay has it."""

    def __init__(self) -> None:
        self._read: Mapping[str, Mapping[str, str]] = {}

    def of_rows(self, texts: Sequence[str]) -> Mapping[int, Mapping[str, str]]:
        """Return the attributes that texts say, by their place, where they are not
        empty.
        """
        before = self._read
        kept: dict[str, Mapping[str, str]] = {}
        for text in filter(None, texts):
            known = before.get(text)
            kept[text] = read_attributes(text) if known is None else known
        self._read = kept
        return {row: kept[text] for row, text in enumerate(texts) if text}
