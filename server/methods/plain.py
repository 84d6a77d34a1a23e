"""Requests for nothing but a text: read and checked in C where the optional library
`freshet_native` is installed, in place of a message and some forty steps.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from server.retrieve import RetrievalQuery
from server.settings import ServerSettings

IS_NATIVE: Final = find_spec("freshet_native") is not None
"""Whether any request is read in C."""

if IS_NATIVE or TYPE_CHECKING:
    import freshet_native

# Items of an answer that is short. Twice as many cost a half more to search for and to
# write.
_SHORT_K: Final = 100


class PlainRequests:
    """Reads requests of `Retrieve` for a text and a number of items, and nothing else.

    Args:
        settings: limits of requests; what is outside of them is not read here.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._most_chars = settings.max_query_chars
        self._max_k = settings.max_k
        self._default_k = settings.default_k

    def __call__(self, message: bytes) -> RetrievalQuery | None:
        """Return what a plain request asks for; None: it is another, or none."""
        found = freshet_native.plain_request(message) if IS_NATIVE else None
        if found is None:
            return None
        text, k = found
        is_within = len(text) <= self._most_chars and k <= self._max_k
        return RetrievalQuery(text, k or self._default_k) if is_within else None

    @staticmethod
    def is_short(query: RetrievalQuery) -> bool:
        """Whether its answer takes well under a millisecond of CPU, as a rule."""
        return query.k <= _SHORT_K
