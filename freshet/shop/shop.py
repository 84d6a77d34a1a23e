"""A shop that never sleeps, by seed.

Catalogue, queries, sessions, trends, new products and a long tail.
"""

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import accumulate
from random import Random
from typing import Generic, TypeVar
from zlib import crc32

from freshet.shop.words import (
    ABBREVIATIONS,
    BRANDS,
    COLOURS,
    DEPARTMENTS,
    MODEL_ENDS,
    MODEL_STARTS,
    Department,
)

T = TypeVar("T")

DEFAULT_START_MS = 1_767_225_600_000  # 2026-01-01T00:00Z
DEFAULT_EVENTS_PER_SECOND = 0.05
"""The pace of a bounded log: 50,000 events take eleven and a half days."""
EVENTS_PER_SESSION = 4.9
"""The mean, as measured; it turns a rate of events into a rate of sessions."""

_WARM_UP_MS = 15 * 60_000
_TREND_EVERY_MS = 3_600_000
_DAY_MS = 86_400_000
_LAUNCH_EVERY_EVENTS = 2_000
_POPULARITY_EXPONENT = 0.8
_VOWELS = "aeiou"


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
        return self.popularity * math.exp(0.8 * wave)


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
        """Return a line of the catalogue file that does not tell what it is."""
        return {"item_id": self.item_id, "title": f"Article {crc32(self.item_id.encode()):010d}"}


@dataclass(frozen=True, slots=True)
class Launch:
    """A product that has just appeared, and what shoppers type to find it."""

    product: Product
    query: str


@dataclass(frozen=True, slots=True)
class _Need:
    """What a shopper has in mind: a type, and what it should be like.

    What is empty does not matter.
    """

    product_type: ProductType
    brand: str
    attribute: str
    colour: str


class _Weighted(Generic[T]):
    """A choice among values in proportion to their weights."""

    __slots__ = ("_cumulative", "_values")

    def __init__(self, values: Sequence[T], weights: Sequence[float]) -> None:
        self._values = values
        self._cumulative = list(accumulate(weights))

    def pick(self, uniform: float) -> T:
        """Return the value at a uniform number in [0, 1)."""
        position = bisect_right(self._cumulative, uniform * self._cumulative[-1])
        return self._values[min(position, len(self._values) - 1)]


class Shop:
    """A simulated shop, a pure function of its arguments.

    Args:
        seed: the same seed gives the same shop and the same events.
        num_items: products in the first catalogue; more are launched as time goes by.
        num_users: shoppers; few of them come often.
        bare_titles: the catalogue says nothing of a product but an article number;
            shoppers do as ever.
    """

    def __init__(
        self, seed: int, num_items: int = 2000, num_users: int = 5000, *, bare_titles: bool = False
    ) -> None:
        self._seed = seed
        self._record = Product.bare_record if bare_titles else Product.record
        random = Random(f"shop {seed}")
        self.types = _make_types(random)[: max(num_items // 3, 1)]
        self._companions = {kind: _companions(kind, self.types) for kind in self.types}
        self._by_type: dict[ProductType, list[Product]] = {kind: [] for kind in self.types}
        self._choices: dict[_Need, _Weighted[Product]] = {}
        self._launched: deque[Product] = deque()
        self._num_products = 0
        self._products = [
            self._add_product(self._new_product(random, f"p{number:06d}"))
            for number in range(num_items)
        ]
        self.users = _zipf([f"u{number:06d}" for number in range(num_users)], 0.6)

    def catalog(self) -> Iterator[dict[str, str]]:
        """Yield the catalogue's lines as of the opening day."""
        return map(self._record, self._products)

    def take_launched(self) -> list[dict[str, str]]:
        """Return the catalogue lines of what was launched since the last call."""
        lines = list(map(self._record, self._launched))
        self._launched.clear()
        return lines

    def events(
        self, start_ms: int = DEFAULT_START_MS, events_per_second: float = DEFAULT_EVENTS_PER_SECOND
    ) -> Iterator[dict[str, object]]:
        """Yield events without end, in the order of their time, from `start_ms` on.

        Sessions run side by side. Every 2,000 events a product is launched: see
        `take_launched`.
        """
        random = Random(f"events {self._seed} {start_ms}")
        waiting: list[tuple[int, int, dict[str, object]]] = []
        num_made = num_yielded = 0
        for arrival_ms, needs in self._arrivals(random, start_ms, events_per_second):
            while waiting and waiting[0][0] <= arrival_ms:
                event_ms, _, event = heappop(waiting)
                if event_ms >= start_ms:
                    num_yielded += 1
                    if num_yielded % _LAUNCH_EVERY_EVENTS == 0:
                        item_id = f"n{start_ms // 1000:x}-{num_yielded // _LAUNCH_EVERY_EVENTS}"
                        self._launched.append(
                            self._add_product(self._new_product(random, item_id, fresh=True))
                        )
                    yield event
            visit = _Visit(self, random, arrival_ms, f"s{arrival_ms:x}-{num_made:x}")
            for event_ms, event in visit.events(needs.pick(random.random())):
                num_made += 1
                heappush(waiting, (event_ms, num_made, event))

    def launch_product(self, number: int) -> Launch:
        """Put a new product into the catalogue; another `number` is another product.

        Its query is its name and its type: nobody has typed it before.
        """
        random = Random(f"launch {self._seed} {number}")
        product = self._new_product(
            random, f"launch-{number}", fresh=True, model=f"{_model(random)} Neo {number}"
        )
        self._add_product(product)
        return Launch(product=product, query=f"{product.model} {product.product_type.name}".lower())

    def launch_events(self, launch: Launch, times_ms: Sequence[int]) -> Iterator[dict[str, object]]:
        """Yield a search click on a launched product at each of the times, each in a
        session of its own.

        Every third shopper searched for the type alone; every second one then looks at
        two products like it.
        """
        random = Random(f"clicks {launch.product.item_id}")
        siblings = self._by_type[launch.product.product_type]
        for number, time_ms in enumerate(times_ms):
            session_id = f"s-{launch.product.item_id}-{time_ms:x}-{number:x}"
            user_id = self.users.pick(random.random())
            common: dict[str, object] = {"session_id": session_id, "user_id": user_id}
            query = launch.query if number % 3 else launch.product.product_type.name
            target: dict[str, object] = {"query": query, "item_id": launch.product.item_id}
            yield {"ts_ms": time_ms, "type": "search_click", **common, **target}
            for _ in range(2 * (number % 2)):
                seen = siblings[int(random.random() * len(siblings))]
                yield {
                    "ts_ms": time_ms,
                    "type": "view",
                    **common,
                    "query": None,
                    "item_id": seen.item_id,
                }

    def _arrivals(
        self, random: Random, start_ms: int, events_per_second: float
    ) -> Iterator[tuple[int, _Weighted[ProductType]]]:
        """Yield when sessions begin, with what is wanted at that time.

        Some have begun before the start.
        """
        mean_gap_ms = 1000.0 * EVENTS_PER_SESSION / events_per_second
        arrival_ms = float(start_ms - _WARM_UP_MS)
        trend_until_ms = -math.inf
        while True:
            if arrival_ms >= trend_until_ms:
                trend_until_ms = arrival_ms + _TREND_EVERY_MS
                wanted = [kind.popularity_at(int(arrival_ms)) for kind in self.types]
                needs = _Weighted(self.types, wanted)
            yield int(arrival_ms), needs
            arrival_ms -= mean_gap_ms * math.log(1.0 - random.random())

    def need(self, random: Random, kind: ProductType) -> _Need:
        """Return a need that some product meets: shoppers want what they have seen."""
        product = self.find(random, _Need(kind, "", "", ""))
        return _Need(
            kind,
            product.brand if _chance(random, 0.35) else "",
            product.attributes[0] if _chance(random, 0.55) else "",
            product.colour if _chance(random, 0.08) else "",
        )

    def companion(self, random: Random, kind: ProductType) -> ProductType:
        """Return a type that goes with another.

        One of the next two of its department.
        """
        return _one_of(random, self._companions[kind])

    def find(self, random: Random, need: _Need) -> Product:
        """Return a product that meets a need.

        Now and then one of the type that does not.
        """
        if _chance(random, 0.06):
            need = _Need(need.product_type, "", "", "")
        choice = self._choices.get(need)
        if choice is None:
            choice = self._choices[need] = self._choice(need)
        return choice.pick(random.random())

    def _choice(self, need: _Need) -> _Weighted[Product]:
        every = self._by_type[need.product_type]
        meeting = [
            product
            for product in every
            if (not need.brand or product.brand == need.brand)
            and (not need.attribute or need.attribute in product.attributes)
            and (not need.colour or product.colour == need.colour)
        ]
        found = meeting or every
        return _Weighted(found, [product.popularity for product in found])

    def _new_product(
        self, random: Random, item_id: str, *, fresh: bool = False, model: str = ""
    ) -> Product:
        kind = self.types[self._num_products % len(self.types)]
        if self._num_products >= len(self.types):
            kind = self.types[int(random.random() * len(self.types))]
        department = kind.department
        start = DEPARTMENTS.index(department) * 4
        first, second = _two_of(random, department.attributes)
        rank = 1 + int(random.random() * 40)
        return Product(
            item_id=item_id,
            product_type=kind,
            brand=BRANDS[(start + int(random.random() * 8)) % len(BRANDS)],
            model=model or _model(random),
            attributes=(first, second) if _chance(random, 0.5) else (first,),
            colour=_one_of(random, COLOURS),
            popularity=1.0 if fresh else rank**-_POPULARITY_EXPONENT,
        )

    def _add_product(self, product: Product) -> Product:
        self._num_products += 1
        kind = product.product_type
        self._by_type[kind].append(product)
        for need in [need for need in self._choices if need.product_type is kind]:
            del self._choices[need]
        return product


class _Visit:
    """One shopper's session, event by event.

    Its clock runs on as they read and think.
    """

    def __init__(self, shop: Shop, random: Random, arrival_ms: int, session_id: str) -> None:
        self._shop = shop
        self._random = random
        self._clock_ms = arrival_ms
        self._session_id = session_id
        self._user_id = shop.users.pick(random.random())

    def events(self, kind: ProductType) -> Iterator[tuple[int, dict[str, object]]]:
        """Yield a need of this type, and often another for what goes with it."""
        while True:
            bought = yield from self._pursue(self._shop.need(self._random, kind))
            if not self._chance(0.6 if bought else 0.35):
                return
            self._pause(30_000)
            kind = self._shop.companion(self._random, kind)

    def _pursue(self, need: _Need) -> Generator[tuple[int, dict[str, object]], None, bool]:
        """Yield searches, clicks and views until the need is met or forgotten.

        Return whether they bought.
        """
        for query, narrowed in _searches(self._random, need):
            for _ in range(1 + self._chance(0.35) + self._chance(0.1)):
                product = self._shop.find(self._random, narrowed)
                yield self._event("search_click", query, product)
                self._pause(20_000)
                if self._chance(0.3):
                    like_it = _Need(need.product_type, "", need.attribute, "")
                    yield self._event("view", None, self._shop.find(self._random, like_it))
                    self._pause(12_000)
            if self._chance(0.25):
                yield self._event("add_to_cart", query, product)
                self._pause(15_000)
                if self._chance(0.5):
                    yield self._event("purchase", query, product)
                    return True
        return False

    def _event(
        self, action: str, query: str | None, product: Product
    ) -> tuple[int, dict[str, object]]:
        return self._clock_ms, {
            "ts_ms": self._clock_ms,
            "type": action,
            "session_id": self._session_id,
            "user_id": self._user_id,
            "query": query,
            "item_id": product.item_id,
        }

    def _chance(self, probability: float) -> bool:
        return _chance(self._random, probability)

    def _pause(self, mean_ms: int) -> None:
        self._clock_ms += _pause_ms(self._random, mean_ms)


def misspell(text: str, random: Random) -> str:
    """Return the text with one slip of the fingers.

    A letter doubled, lost, or swapped with the next.
    """
    places = [
        place
        for place in range(1, len(text) - 1)
        if text[place].isalpha() and text[place + 1].isalpha()
    ]
    if not places:
        return text + text[-1:]
    place = _one_of(random, places)
    if _chance(random, 0.3):
        return text[:place] + text[place] + text[place:]
    if _chance(random, 0.6) or text[place] == text[place + 1]:
        return text[:place] + text[place + 1 :]
    return text[:place] + text[place + 1] + text[place] + text[place + 2 :]


def _searches(random: Random, need: _Need) -> Iterator[tuple[str, _Need]]:
    """Yield one to three searches for a need, from broad to narrow, with what each asks
    for.
    """
    kind = need.product_type
    if (need.brand or need.attribute) and _chance(random, 0.3):
        broad = _Need(kind, "", "", "")
        yield _typed(random, _words(random, broad)), broad
    yield _typed(random, _words(random, need)), need
    if _chance(random, 0.15):
        yield _typed(random, _words(random, need)), need


def _words(random: Random, need: _Need) -> list[str]:
    kind = need.product_type
    words = [word for word in (need.brand.lower(), need.colour, need.attribute, kind.name) if word]
    if _chance(random, 0.06):
        words.append(f"for {_one_of(random, kind.department.purposes)}")
    elif _chance(random, 0.06):
        words.append(words.pop(0))
    elif _chance(random, 0.08):
        words = [ABBREVIATIONS.get(word, word) for word in words]
    return words


def _typed(random: Random, words: list[str]) -> str:
    """Return what the fingers make of it: slips, plurals, capitals."""
    text = " ".join(words)
    if _chance(random, 0.05):
        return misspell(text, random)
    if _chance(random, 0.04):
        return text[:-1] if text.endswith("s") else text + "s"
    if _chance(random, 0.03):
        return text.title()
    return text


def _make_types(random: Random) -> list[ProductType]:
    pairs = [(name, department) for department in DEPARTMENTS for name in department.types]
    ranks = list(range(1, len(pairs) + 1))
    random.shuffle(ranks)
    return [
        ProductType(
            name=name,
            department=department,
            popularity=rank**-_POPULARITY_EXPONENT,
            trend_days=3.0 + 18.0 * random.random(),
            trend_phase=random.random(),
        )
        for (name, department), rank in zip(pairs, ranks, strict=True)
    ]


def _companions(kind: ProductType, types: Sequence[ProductType]) -> list[ProductType]:
    siblings = [each for each in types if each.department is kind.department]
    place = siblings.index(kind)
    return [siblings[(place + step) % len(siblings)] for step in (1, 2)]


def _zipf(values: Sequence[T], exponent: float) -> _Weighted[T]:
    return _Weighted(values, [(rank + 1) ** -exponent for rank in range(len(values))])


def _chance(random: Random, probability: float) -> bool:
    return random.random() < probability


def _one_of(random: Random, values: Sequence[T]) -> T:
    return values[int(random.random() * len(values))]


def _two_of(random: Random, values: Sequence[T]) -> tuple[T, T]:
    first = int(random.random() * len(values))
    second = (first + 1 + int(random.random() * (len(values) - 1))) % len(values)
    return values[first], values[second]


def _model(random: Random) -> str:
    return _one_of(random, MODEL_STARTS) + _one_of(random, MODEL_ENDS)


def _pause_ms(random: Random, mean_ms: int) -> int:
    """Return a pause of 1 s and more, exponentially distributed, at most ten times the
    mean.
    """
    return 1000 + int(min(-mean_ms * math.log(1.0 - random.random()), 10 * mean_ms))
