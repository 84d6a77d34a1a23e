"""Drawn event histories for properties.

A small world, so that facts repeat, move earlier and share edges often.
"""

from hypothesis import strategies as st

from stream.actions import Action
from stream.events.types import Interaction
from testing.histories import DAY_MS, NOON_MS, event

_SESSIONS = ["s-1", "s-2", "s-3", "sitzung ü"]
_QUERIES = ["", "tv", "red shoes", "クエリ"]
_ITEMS = ["a", "b", "c", "d", "é"]
# Eleven days apart, more than the horizon of testing.graph.folding, and all within
# three half-lives.
_TIMES_MS = [NOON_MS + step * DAY_MS * 11 + step for step in range(-3, 6)]

interactions = st.builds(
    event,
    session_id=st.sampled_from(_SESSIONS),
    query=st.sampled_from(_QUERIES),
    item_id=st.sampled_from(_ITEMS),
    ts_ms=st.sampled_from(_TIMES_MS),
    action=st.sampled_from(Action),
    user_id=st.sampled_from(["", "u-1", "u-2"]),
)


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[Interaction], list[list[Interaction]]]:
    """Return a set of events, and one way to deliver it.

    Shuffled, with repeats, cut into batches.
    """
    events = draw(st.lists(interactions, max_size=30))
    repeats = draw(st.lists(st.sampled_from(events), max_size=10)) if events else []
    arriving = draw(st.permutations(events + repeats))
    cuts = sorted(draw(st.lists(st.integers(0, len(arriving)), max_size=4)))
    return events, [
        arriving[low:high] for low, high in zip([0, *cuts], [*cuts, len(arriving)], strict=True)
    ]
