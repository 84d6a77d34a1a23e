from typing import Any

def nearest(
    vectors: Any,
    codes: Any,
    ids: Any,
    firsts: Any,
    lasts: Any,
    hidden: Any,
    vector: Any,
    k: int,
    rounding: float,
) -> tuple[bytearray, bytearray]: ...
def codes_of(vectors: Any, dim: int) -> bytearray: ...
