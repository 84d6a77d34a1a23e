"""What gives a server its generations, and what they are given to."""

from collections.abc import Sequence
from typing import Protocol

from server.live import LiveGeneration
from server.overlay.view import LiveView


class Watching(Protocol):
    """What gives a server its generations; see `GenerationWatcher`."""

    @property
    def last_refusal(self) -> str:
        """Why the newest generation is not taken; empty: it is."""

    @property
    def refused_id(self) -> str:
        """The generation that is refused; empty: none is."""

    @property
    def loading_id(self) -> str:
        """The generation that is being loaded; empty: none is."""

    def load_first(self) -> bool:
        """Make a generation live; return False if there is none that can be."""

    def start(self) -> None:
        """Begin to watch."""

    def stop(self) -> None:
        """End watching."""


class Views(Protocol):
    """What generations are given to; see `LiveViews`."""

    @property
    def live(self) -> LiveView | None:
        """What is answered from; None: no generation is live yet."""

    @property
    def pending_id(self) -> str:
        """The generation that waits to go live; empty: none does."""

    def offer(self, new: LiveGeneration) -> None:
        """Make a generation live, or let it wait."""

    def withdraw(self) -> None:
        """Give up what waits."""

    def fresher_than(self, wanted: str, ids: Sequence[str]) -> str:
        """Return the generation to start with instead of `wanted`; empty: none."""
