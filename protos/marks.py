"""The mark of what a probe writes: what starts with it is never learnt from and never
shown to shoppers, by whoever reads it.
"""

PROBE_MARK = "freshet-probe:"
"""How the ids of a probe's items and sessions start."""

PROBE_METADATA = "freshet-probe"
"""Key of the metadata by which a call says that it is a probe's: with any value,
answers have the probe's items, and the call counts as nobody's.
"""


def is_marked(item_or_session_id: str) -> bool:
    """Whether an id is a probe's."""
    return item_or_session_id.startswith(PROBE_MARK)
