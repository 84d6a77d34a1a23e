from collections.abc import Sequence
from typing import Any, TypeAlias, overload

class TextColumn(Sequence[str]):
    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[str]: ...
    def __len__(self) -> int: ...

class TextTable:
    def __init__(
        self,
        texts: dict[int, str],
        seed: bytes,
        max_bytes: int,
        takes_empty: bool,
        reserved_prefix: bytes,
        forms: bytes,
    ) -> None: ...
    def find(self, texts: Sequence[str], keys: Any) -> list[int]: ...
    def add(self, known: dict[str, int]) -> None: ...
    def clear(self) -> None: ...
    def __len__(self) -> int: ...

_Columns: TypeAlias = tuple[
    bytearray, bytearray, bytearray, TextColumn, TextColumn, TextColumn, TextColumn, list[int]
]
_IndexedColumns: TypeAlias = tuple[
    bytearray,
    bytearray,
    bytearray,
    TextColumn,
    TextColumn,
    TextColumn,
    TextColumn,
    list[int],
    bytearray,
    bytearray,
    bytearray,
]

def cut(packed: bytes, starts: Any) -> list[bytes]: ...
def read_neutral(
    values: Sequence[Any], rows: list[int], actions: tuple[tuple[str, int, bool], ...]
) -> _Columns: ...
def read_events(values: Sequence[Any], rows: list[int]) -> _Columns: ...
def read_batches(values: Sequence[Any], rows: list[int]) -> _IndexedColumns: ...
