"""What the simulated shop sells, and which product meets a shopper's need.

The probabilities are chosen, not measured: together with those of `visits` and
`searches` they make a log whose head, tail and sessions are like a real shop's, which
tests pin. A change to any of them changes the bytes of every seed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from freshet.shop.draws import Weighted, chance, one_of, two_of
from freshet.shop.products import Product, ProductType
from freshet.shop.words import (
    BRANDS,
    COLOURS,
    DEPARTMENTS,
    MODEL_ENDS,
    MODEL_STARTS,
)

_POPULARITY_EXPONENT = 0.8
"""Of Zipf's law, for products in their type and for types: the most popular tenth gets
a third of all events. A larger one leaves less for the tail.
"""

_NUM_RANKS = 40
"""Ranks of popularity in a type: its last is clicked 1/19 as often as its first
(40^-0.8). Twice as many would lower that to 1/33.
"""

_PRODUCTS_OF_A_TYPE = 3
"""The fewest products per type, on average: a small shop has fewer types, so that a
search has something to choose from.
"""

_BRANDS_APART = 4
_BRANDS_OF_A_DEPARTMENT = 8
"""A department has eight of the forty brands, and shares four with the next: a brand
narrows the type down, but does not determine it.
"""

_HAS_TWO_ATTRIBUTES = 0.5
"""Every second product has two attributes, so that needs overlap. More would make
products harder to distinguish by their words.
"""

_SHORTEST_TREND_DAYS = 3.0
_TREND_DAYS_RANGE = 18.0
"""A fashion comes again every three to 21 days: a log of a few weeks shows both turns.
"""

_WANTS_BRAND = 0.35
_WANTS_ATTRIBUTE = 0.55
_WANTS_COLOUR = 0.08
"""How many shoppers mind the brand, the attribute, the colour: together they make the
long tail of queries, a quarter of which are typed once. Twice as much of any makes
rarer ones.
"""

_CLICKS_ASTRAY = 0.06
"""How many clicks are on a product that does not meet the need: noise, as in real logs.
"""


@dataclass(frozen=True, slots=True)
class Need:
    """What a shopper has in mind: a type, and what it should be like.

    What is empty does not matter.
    """

    product_type: ProductType
    brand: str
    attribute: str
    colour: str


class Catalogue:
    """The products on sale, by type.

    Args:
        random: where types and products come from.
        num_items: products of the opening day.
    """

    def __init__(self, random: Random, num_items: int) -> None:
        self.types = _make_types(random)[: max(num_items // _PRODUCTS_OF_A_TYPE, 1)]
        self._companions = {kind: _companions(kind, self.types) for kind in self.types}
        self._by_type: dict[ProductType, list[Product]] = {kind: [] for kind in self.types}
        self._choices: dict[Need, Weighted[Product]] = {}
        self._num_products = 0
        self.first_products = [
            self.add(self.new_product(random, f"p{number:06d}")) for number in range(num_items)
        ]

    def of_type(self, kind: ProductType) -> Sequence[Product]:
        """Return the products of a type, oldest first."""
        return self._by_type[kind]

    def need(self, random: Random, kind: ProductType) -> Need:
        """Return a need that some product meets: shoppers want what they have seen."""
        product = self.find(random, Need(kind, "", "", ""))
        return Need(
            kind,
            product.brand if chance(random, _WANTS_BRAND) else "",
            product.attributes[0] if chance(random, _WANTS_ATTRIBUTE) else "",
            product.colour if chance(random, _WANTS_COLOUR) else "",
        )

    def companion(self, random: Random, kind: ProductType) -> ProductType:
        """Return a type that goes with this one, of the next two of its department."""
        return one_of(random, self._companions[kind])

    def find(self, random: Random, need: Need) -> Product:
        """Return a product that meets a need.

        Now and then one of the type that does not.
        """
        if chance(random, _CLICKS_ASTRAY):
            need = Need(need.product_type, "", "", "")
        choice = self._choices.get(need)
        if choice is None:
            choice = self._choices[need] = self._choice(need)
        return choice.pick(random.random())

    def _choice(self, need: Need) -> Weighted[Product]:
        every = self._by_type[need.product_type]
        meeting = [
            product
            for product in every
            if (not need.brand or product.brand == need.brand)
            and (not need.attribute or need.attribute in product.attributes)
            and (not need.colour or product.colour == need.colour)
        ]
        found = meeting or every
        return Weighted(found, [product.popularity for product in found])

    def new_product(
        self, random: Random, item_id: str, *, fresh: bool = False, model: str = ""
    ) -> Product:
        """Return a product that is not on sale yet.

        Args:
            random: where its traits come from.
            item_id: its id.
            fresh: it has just been launched, and is as popular as any.
            model: its name; empty: an invented one.
        """
        kind = self.types[self._num_products % len(self.types)]
        if self._num_products >= len(self.types):
            kind = self.types[int(random.random() * len(self.types))]
        department = kind.department
        start = DEPARTMENTS.index(department) * _BRANDS_APART
        first, second = two_of(random, department.attributes)
        rank = 1 + int(random.random() * _NUM_RANKS)
        return Product(
            item_id=item_id,
            product_type=kind,
            brand=BRANDS[(start + int(random.random() * _BRANDS_OF_A_DEPARTMENT)) % len(BRANDS)],
            model=model or model_name(random),
            attributes=(first, second) if chance(random, _HAS_TWO_ATTRIBUTES) else (first,),
            colour=one_of(random, COLOURS),
            popularity=1.0 if fresh else rank**-_POPULARITY_EXPONENT,
        )

    def add(self, product: Product) -> Product:
        """Put a product on sale, and return it."""
        self._num_products += 1
        kind = product.product_type
        self._by_type[kind].append(product)
        for need in [need for need in self._choices if need.product_type is kind]:
            del self._choices[need]
        return product


def model_name(random: Random) -> str:
    """Return an invented name of a model."""
    return one_of(random, MODEL_STARTS) + one_of(random, MODEL_ENDS)


def _make_types(random: Random) -> list[ProductType]:
    pairs = [(name, department) for department in DEPARTMENTS for name in department.types]
    ranks = list(range(1, len(pairs) + 1))
    random.shuffle(ranks)
    return [
        ProductType(
            name=name,
            department=department,
            popularity=rank**-_POPULARITY_EXPONENT,
            trend_days=_SHORTEST_TREND_DAYS + _TREND_DAYS_RANGE * random.random(),
            trend_phase=random.random(),
        )
        for (name, department), rank in zip(pairs, ranks, strict=True)
    ]


def _companions(kind: ProductType, types: Sequence[ProductType]) -> list[ProductType]:
    siblings = [each for each in types if each.department is kind.department]
    place = siblings.index(kind)
    return [siblings[(place + step) % len(siblings)] for step in (1, 2)]
