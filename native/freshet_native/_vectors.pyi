from typing import Any

def nearest(
    vectors: Any, ids: Any, firsts: Any, lasts: Any, vector: Any, k: int, rounding: float
) -> tuple[bytearray, bytearray]: ...
