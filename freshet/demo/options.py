"""What a demo shows, by the options of the command line."""

from dataclasses import dataclass
from pathlib import Path

from freshet.demo.work_folder import Recipe, fingerprint

DEFAULT_SEED = 7
"""Any number: the same one gives the same shop, and so the same story."""

DEFAULT_ITEMS = 1000
"""Products: enough for rare queries and a long tail. Twice as many train longer, and
show nothing else.
"""

DEFAULT_EVENTS = 20_000
"""Events of the shop's past, twenty a product, so that most products have been clicked.
The demo is over in 44 s on two busy cores; more events take longer.
"""


@dataclass(frozen=True, kw_only=True)
class DemoPlan:
    """What to show.

    Attributes:
        folder: the work folder.
        events: an own log; None: the simulated shop.
        items: its catalogue.
        seed: which shop is simulated.
        shop_items: its products.
        shop_events: its history.
        keep: leave everything running at the end.
    """

    folder: Path
    events: Path | None
    items: Path | None
    seed: int
    shop_items: int
    shop_events: int
    keep: bool

    def flags(self) -> list[str]:
        """Return the options that lead to this demo's work folder again."""
        given: dict[str, object] = {"--events": self.events, "--items": self.items}
        if self.events is None:
            numbers = {
                "--seed": (self.seed, DEFAULT_SEED),
                "--shop-items": (self.shop_items, DEFAULT_ITEMS),
                "--shop-events": (self.shop_events, DEFAULT_EVENTS),
            }
            given = {flag: value for flag, (value, usual) in numbers.items() if value != usual}
        return [
            text
            for flag, value in given.items()
            if value is not None
            for text in (flag, str(value))
        ]

    def recipe(self) -> Recipe:
        """Return what makes this demo's work folder another one's."""
        if self.events is None:
            return Recipe(seed=self.seed, shop_items=self.shop_items, shop_events=self.shop_events)
        return Recipe(events=fingerprint(self.events), items=fingerprint(self.items))
