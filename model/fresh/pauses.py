"""What happens between two steps of a round of the fresh lane."""

from typing import Protocol


class Pause(Protocol):
    """Called between two steps of a round, so that what is urgent need not wait."""

    def __call__(self, *, is_open: bool) -> object:
        """Do what is urgent.

        Args:
            is_open: whether states of the catalogue may be applied
                (`FreshState.apply_catalog`); else items may be taken out, and nothing
                more (`FreshState.take_out`).
        """


def no_pause(*, is_open: bool) -> None:
    """Go on at once."""
    del is_open
