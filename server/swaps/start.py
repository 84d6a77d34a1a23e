"""Pure: what to start from where `CURRENT` names a generation that does not load."""

from collections.abc import Sequence


def fallbacks(wanted: str | None, ids: Sequence[str]) -> list[str]:
    """Return the generations to try instead of the wanted one, best first.

    Those before it, the newest of them first: what served last. Then those after it,
    which somebody went back from.

    Args:
        wanted: what `CURRENT` names; None: nothing that is an id.
        ids: the generations that are there and passed the gate, oldest first.
    """
    if wanted is None:
        return list(reversed(ids))
    before = [id_ for id_ in ids if id_ < wanted]
    after = [id_ for id_ in ids if id_ > wanted]
    return [*reversed(before), *reversed(after)]
