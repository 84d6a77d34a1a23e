"""One call from its first byte to its status, whatever it came by."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

from server.calls.failure import Failure, Metadata


class Call(ABC):
    """A call that has come.

    Args:
        method: its name, for metrics.
        metadata: what the client sent beside its message; names in lower case.

    Attributes:
        method: its name.
        metadata: the same.
        started: when it came, on the clock of `time.perf_counter`.
        has_message: whether its message has come.
        queued_at: since when it has waited for a thread, on the same clock; negative:
            it does not yet.
        waited_seconds: how long it did until it had one; negative: it had none.
        waits_until: when it has waited for a thread for too long, on the same clock;
            infinity: it does not wait, or may for ever.
        caller: who made it, as its limits know them; empty: nobody asked.
    """

    def __init__(self, method: str, metadata: Metadata) -> None:
        self.method = method
        self.metadata = metadata
        self.started = time.perf_counter()
        self.has_message = False
        self.queued_at = self.waited_seconds = -1.0
        self.waits_until = math.inf
        self.caller = ""

    @property
    @abstractmethod
    def peer(self) -> str:
        """Address of the client without its port, such as ``ipv4:10.0.0.7``."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """Name in the client's certificate; empty: it has none."""

    @property
    @abstractmethod
    def is_active(self) -> bool:
        """Whether somebody waits for its status."""

    @property
    @abstractmethod
    def code(self) -> str:
        """Name of its status as the client sees it, once it has ended."""

    @abstractmethod
    def on_end(self, callback: Callable[[], None]) -> None:
        """Call back once the call has ended, however it did.

        Before it has been received or refused.
        """

    @abstractmethod
    def refuse(self, failure: Failure) -> None:
        """End the call with a status, unless it has ended."""

    @abstractmethod
    def cancel(self) -> None:
        """End the call at once, also where its client does not read its answer."""
