"""What a fault is, and what must come of it."""

from collections.abc import Callable
from dataclasses import dataclass

from bench.faults.stack import Stack

PAGE_SECONDS = 60.0
TICKET_SECONDS = 120.0

Repair = Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that goes wrong.

    Attributes:
        name: of it.
        alert: that must arrive.
        component: that it must name.
        severity: page or ticket, which says how soon.
        inject: does it, and returns what undoes it.
        says: regular expressions that what the alert says must match: where and why.
        status: what `freshet status` must match.
        lingers: how long the alert goes on after the repair, in seconds, by its rule.
        wants: what the machine must allow: "mount", "compiler"; empty: nothing.
    """

    name: str
    alert: str
    component: str
    severity: str
    inject: Callable[[Stack], Repair]
    says: str
    status: str
    lingers: float = 0.0
    wants: str = ""

    @property
    def within_seconds(self) -> float:
        """How soon the alert must arrive."""
        return PAGE_SECONDS if self.severity == "page" else TICKET_SECONDS
