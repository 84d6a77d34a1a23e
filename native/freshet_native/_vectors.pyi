from typing import Any

def nearest(
    vectors: Any,
    stored: Any,
    codes: Any,
    ids: Any,
    firsts: Any,
    lasts: Any,
    hidden: Any,
    vector: Any,
    k: int,
    rounding: float,
) -> tuple[bytearray, bytearray]: ...
def nearest_in_cells(
    centres: Any,
    centre_codes: Any,
    starts: Any,
    vectors: Any,
    stored: Any,
    codes: Any,
    ids: Any,
    hidden: Any,
    vector: Any,
    cells: int,
    k: int,
    rounding: float,
) -> tuple[bytearray, bytearray]: ...
def add_products(target: Any, index: Any, weight: Any, source: Any, place: Any) -> None: ...
def moves_of(
    before: Any, index: Any, terms: tuple[tuple[Any, Any], ...]
) -> tuple[bytearray, bytearray]: ...
def codes_of(vectors: Any, stored: Any, dim: int) -> bytearray: ...
