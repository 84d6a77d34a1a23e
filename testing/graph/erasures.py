"""Erasures of the users, sessions and items that `testing.graph.deliveries` draws."""

from hypothesis import strategies as st

from stream.events.types import Erasure
from testing.histories import NOON_MS

ASKED_MS = NOON_MS + 5  # among the times of the erasable events, not on one
ERASABLE = {"user": ["u-1", "u-2", "u-9"], "session": ["s-1", "sitzung ü"], "item": ["a", "b", "é"]}

erasures = st.builds(
    lambda name: Erasure(kind=name[0], id=name[1], ts_ms=ASKED_MS),
    st.sampled_from([(kind, text) for kind, texts in ERASABLE.items() for text in texts]),
)
