"""Pure: what of a session counts, out of what a request sends."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from model.context import NEWEST_MEMBERS
from protos.text import normalize_query


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionContext:
    """The running session of a valid request.

    Attributes:
        item_ids: at most `NEWEST_MEMBERS`, oldest first, each once.
        queries: the same of normalised texts, without the asked one.
        older: how many more were sent.
    """

    item_ids: tuple[str, ...] = ()
    queries: tuple[str, ...] = ()
    older: int = 0


NO_SESSION: Final = SessionContext()


def parse_context(
    item_ids: Sequence[str], queries: Sequence[str], asked: str, max_chars: int
) -> SessionContext:
    """Return what of a session counts: the newest, each once.

    A session of thousands takes no longer: the end is read until there are enough.

    Args:
        item_ids: as sent, oldest first.
        queries: as sent, oldest first.
        asked: the normalised query that is asked; it is no context of itself.
        max_chars: longer ids and texts are passed over: nothing so long was learned.
    """
    if not item_ids and not queries:
        return NO_SESSION
    items = _newest(id_ for id_ in reversed(item_ids) if id_ and len(id_) <= max_chars)
    texts = (normalize_query(text) for text in reversed(queries) if len(text) <= max_chars)
    before = _newest(text for text in texts if text and text != asked)
    older = len(item_ids) + len(queries) - len(items) - len(before)
    return SessionContext(item_ids=items, queries=before, older=older)


def _newest(newest_first: Iterable[str]) -> tuple[str, ...]:
    """Return the first different ones, the last of them first."""
    kept: dict[str, None] = {}
    for each in newest_first:
        kept.setdefault(each)
        if len(kept) == NEWEST_MEMBERS:
            break
    return tuple(reversed(kept))
