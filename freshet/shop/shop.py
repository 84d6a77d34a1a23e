"""A shop that never sleeps: its catalogue and its events, by seed."""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from random import Random

from freshet.shop.catalogue import Catalogue, model_name
from freshet.shop.draws import Weighted, zipf
from freshet.shop.products import Product, ProductType
from freshet.shop.visits import Visit

DEFAULT_START_MS = 1_767_225_600_000  # 2026-01-01T00:00Z
DEFAULT_EVENTS_PER_SECOND = 0.05
"""The pace of a bounded log: 50,000 events take eleven and a half days, which is enough
for a fashion to come and go. Twice as much would halve that.
"""

EVENTS_PER_SESSION = 4.9
"""The mean, as measured; it turns a rate of events into a rate of sessions."""

_WARM_UP_MS = 15 * 60_000
"""Sessions begin this long before the log does, so that its first minutes are as busy
as all others. Longer than nearly every session; twice as much changes nothing.
"""

_TREND_EVERY_MS = 3_600_000
"""Milliseconds between two updates of the trends: a trend takes days, so an hour is
exact enough, and half of it would take twice as long to compute.
"""

_LAUNCH_EVERY_EVENTS = 2_000
"""From one new product to the next: 25 in a log of 50,000 events. Twice as much halves
what there is to be seen of new products.
"""

_VISITS_EXPONENT = 0.6
"""Of Zipf's law, for shoppers: few come often. A larger one gives fewer of them more.
"""


@dataclass(frozen=True, slots=True)
class Launch:
    """A product that has just appeared, and what shoppers type to find it."""

    product: Product
    query: str


class Shop:
    """A simulated shop, a pure function of its arguments.

    Args:
        seed: the same seed gives the same shop and the same events.
        num_items: products in the first catalogue; more are launched as time goes by.
        num_users: shoppers; few of them come often.
        bare_titles: the catalogue has only an article number of a product; shoppers do
            as ever.
    """

    def __init__(
        self, seed: int, num_items: int = 2000, num_users: int = 5000, *, bare_titles: bool = False
    ) -> None:
        self._seed = seed
        self._record = Product.bare_record if bare_titles else Product.record
        self._catalogue = Catalogue(Random(f"shop {seed}"), num_items)
        self._launched: deque[Product] = deque()
        self._users = zipf([f"u{number:06d}" for number in range(num_users)], _VISITS_EXPONENT)

    @property
    def types(self) -> Sequence[ProductType]:
        """The types of product that it sells."""
        return self._catalogue.types

    def catalog(self) -> Iterator[dict[str, str]]:
        """Yield the catalogue's lines as of the opening day."""
        return map(self._record, self._catalogue.first_products)

    def take_launched(self) -> list[dict[str, str]]:
        """Return the catalogue lines of what was launched since the last call."""
        lines = list(map(self._record, self._launched))
        self._launched.clear()
        return lines

    def events(
        self,
        start_ms: int = DEFAULT_START_MS,
        events_per_second: float = DEFAULT_EVENTS_PER_SECOND,
        *,
        is_over: Callable[[], bool] = lambda: False,
    ) -> Iterator[dict[str, object]]:
        """Yield events without end, in the order of their time, from `start_ms` on.

        Sessions run side by side. Every 2,000 events a product is launched: see
        `take_launched`.

        Args:
            start_ms: UTC epoch milliseconds.
            events_per_second: at most some thousands: there are sessions of a quarter
                of an hour before the first event.
            is_over: asked before each session, the first ones too; true: yield no more.
        """
        catalogue = self._catalogue
        random = Random(f"events {self._seed} {start_ms}")
        waiting: list[tuple[int, int, dict[str, object]]] = []
        num_made = num_yielded = 0
        for arrival_ms, needs in self._arrivals(random, start_ms, events_per_second):
            if is_over():
                return
            while waiting and waiting[0][0] <= arrival_ms:
                event_ms, _, event = heappop(waiting)
                if event_ms >= start_ms:
                    num_yielded += 1
                    if num_yielded % _LAUNCH_EVERY_EVENTS == 0:
                        item_id = f"n{start_ms // 1000:x}-{num_yielded // _LAUNCH_EVERY_EVENTS}"
                        self._launched.append(
                            catalogue.add(catalogue.new_product(random, item_id, fresh=True))
                        )
                    yield event
            visit = Visit(
                catalogue,
                random,
                arrival_ms,
                f"s{arrival_ms:x}-{num_made:x}",
                self._users.pick(random.random()),
            )
            for event_ms, event in visit.events(needs.pick(random.random())):
                num_made += 1
                heappush(waiting, (event_ms, num_made, event))

    def launch_product(self, number: int) -> Launch:
        """Put a new product into the catalogue; another `number` is another product.

        Its query is its name and its type, which is new to the log.
        """
        random = Random(f"launch {self._seed} {number}")
        product = self._catalogue.new_product(
            random, f"launch-{number}", fresh=True, model=f"{model_name(random)} Neo {number}"
        )
        self._catalogue.add(product)
        return Launch(product=product, query=f"{product.model} {product.product_type.name}".lower())

    def launch_events(self, launch: Launch, times_ms: Sequence[int]) -> Iterator[dict[str, object]]:
        """Yield a search click on a launched product at each of the times, each in a
        session of its own.

        Every third shopper searched for the type alone; every second one then views two
        products like it.
        """
        random = Random(f"clicks {launch.product.item_id}")
        siblings = self._catalogue.of_type(launch.product.product_type)
        for number, time_ms in enumerate(times_ms):
            session_id = f"s-{launch.product.item_id}-{time_ms:x}-{number:x}"
            user_id = self._users.pick(random.random())
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
    ) -> Iterator[tuple[int, Weighted[ProductType]]]:
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
                needs = Weighted(self.types, wanted)
            yield int(arrival_ms), needs
            arrival_ms -= mean_gap_ms * math.log(1.0 - random.random())
