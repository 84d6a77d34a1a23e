"""The products of the simulated shop, and how the catalogue describes them."""

import math
from dataclasses import dataclass
from zlib import crc32

from freshet.shop.words import Department

_DAY_MS = 86_400_000  # a day

_TREND = 0.8
"""How much fashion moves a type: at its height it is wanted e^1.6, five times as much
as at its low. Twice as much would let a few types have nearly all sales of a week.
"""


@dataclass(frozen=True, slots=True, eq=False)
class ProductType:
    """A product type of the shop, such as headphones."""

    name: str
    department: Department
    popularity: float
    trend_days: float
    trend_phase: float

    def popularity_at(self, time_ms: int) -> float:
        """Return how much it is wanted at a time: what is in fashion comes and goes."""
        wave = math.sin(2 * math.pi * (time_ms / _DAY_MS / self.trend_days + self.trend_phase))
        return self.popularity * math.exp(_TREND * wave)


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """A product of the shop. `popularity` is relative, within its type."""

    item_id: str
    product_type: ProductType
    brand: str
    model: str
    attributes: tuple[str, ...]
    colour: str
    popularity: float

    @property
    def title(self) -> str:
        """What the shop calls it."""
        words = " ".join((*self.attributes, self.product_type.name)).title()
        return f"{self.brand} {self.model} {words}, {self.colour.title()}"

    def record(self) -> dict[str, str]:
        """Return its line of the catalogue file."""
        kind = self.product_type
        purpose = kind.department.purposes[len(self.model) % len(kind.department.purposes)]
        return {
            "item_id": self.item_id,
            "title": self.title,
            "text": f"{' '.join(self.attributes)} {kind.name} by {self.brand}, good for {purpose}",
            "brand": self.brand,
            "category": kind.department.name,
            "colour": self.colour,
        }

    def bare_record(self) -> dict[str, str]:
        """Return a line of the catalogue file whose title does not describe the
        product.
        """
        return {"item_id": self.item_id, "title": f"Article {crc32(self.item_id.encode()):010d}"}
