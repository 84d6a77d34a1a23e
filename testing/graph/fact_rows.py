"""Facts as rows of Python numbers, for columns to be compared with."""

from collections.abc import Iterable

import numpy as np

from stream.graph.facts import FactColumns, stamps

FactKey = tuple[int, int, int, int]
"""Session, query, item, action."""

FactRow = tuple[int, int, int, int, int]
"""Session, query, item, action, time in milliseconds."""


def columns(rows: Iterable[FactRow]) -> FactColumns:
    """Return rows as columns, in their order."""
    session, query, item, action, ts_ms = list(zip(*rows, strict=True)) or [()] * 5
    return FactColumns(
        np.array(session, dtype=np.uint64),
        np.array(query, dtype=np.uint64),
        np.array(item, dtype=np.uint64),
        stamps(np.array(ts_ms, dtype=np.int64), np.array(action, dtype=np.uint8)),
    )


def rows_of(facts: FactColumns) -> list[FactRow]:
    """Return columns as rows, in their order."""
    parts = facts.session, facts.query, facts.item, facts.action, facts.ts_ms
    return list(zip(*(part.tolist() for part in parts), strict=True))


def earliest(rows: Iterable[FactRow]) -> dict[FactKey, int]:
    """Return each fact with its smallest time."""
    facts: dict[FactKey, int] = {}
    for *key, ts_ms in rows:
        session, query, item, action = key
        fact = session, query, item, action
        facts[fact] = min(ts_ms, facts.get(fact, ts_ms))
    return facts
