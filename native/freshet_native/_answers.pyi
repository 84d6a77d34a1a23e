from typing import Any

def hits_of(
    rows: Any,
    is_fresh: Any,
    scores: Any,
    id_bounds: Any,
    ids: Any,
    title_bounds: Any,
    titles: Any,
    fresh_ids: tuple[str, ...],
    fresh_titles: tuple[str, ...],
    tags: bytes,
) -> bytes: ...
