"""What a caller says of the running session."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The running session of a shopper, oldest first.

    The server shifts the query by it, as far as the live generation was validated to
    gain: not at all where it does not. The newest ten of each count, and what is
    unknown does not.

    Attributes:
        item_ids: items that were viewed, clicked or bought.
        queries: queries that were asked before this one, as typed.
    """

    item_ids: Sequence[str] = ()
    queries: Sequence[str] = ()


NO_CONTEXT = Context()
