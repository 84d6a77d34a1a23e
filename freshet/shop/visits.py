"""What a shopper does in one session of the simulated shop.

The probabilities are chosen so that a session has five events on average and six in ten
see several products: what the hypergraph channel learns from. A change to any of them
changes the bytes of every seed, and `shop.EVENTS_PER_SESSION`.
"""

from collections.abc import Generator, Iterator
from random import Random

from freshet.shop.catalogue import Catalogue, Need
from freshet.shop.draws import chance, pause_ms
from freshet.shop.products import Product, ProductType
from freshet.shop.searches import searches

# After a need: the share that wants what goes with it, larger of those who bought.
_GOES_ON = 0.35
_GOES_ON_AFTER_BUYING = 0.6

# After a search: the share that clicks a second product, a third; views a similar one.
_SECOND_CLICK = 0.35
_THIRD_CLICK = 0.1
_VIEWS_ALIKE = 0.3

# After a click: the share that puts it into the cart, and the share of those that buys
# it. In real shops both are smaller, but then a short log would have almost no
# purchase. Twice as much of either: twice the purchases.
_ADDS_TO_CART = 0.25
_BUYS = 0.5

# Mean pauses in milliseconds: well below the half hour after which a platform begins a
# new session, so that a visit stays one session.
_READS_MS = 20_000
_VIEWS_MS = 12_000
_DECIDES_MS = 15_000
_BETWEEN_NEEDS_MS = 30_000


class Visit:
    """One shopper's session, event by event.

    Its clock advances by their pauses.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        random: Random,
        arrival_ms: int,
        session_id: str,
        user_id: str,
    ) -> None:
        self._catalogue = catalogue
        self._random = random
        self._clock_ms = arrival_ms
        self._session_id = session_id
        self._user_id = user_id

    def events(self, kind: ProductType) -> Iterator[tuple[int, dict[str, object]]]:
        """Yield a need of this type, and often another for what goes with it."""
        while True:
            bought = yield from self._pursue(self._catalogue.need(self._random, kind))
            if not self._chance(_GOES_ON_AFTER_BUYING if bought else _GOES_ON):
                return
            self._pause(_BETWEEN_NEEDS_MS)
            kind = self._catalogue.companion(self._random, kind)

    def _pursue(self, need: Need) -> Generator[tuple[int, dict[str, object]], None, bool]:
        """Yield searches, clicks and views until the need is met or forgotten.

        Return whether they bought.
        """
        for query, narrowed in searches(self._random, need):
            for _ in range(1 + self._chance(_SECOND_CLICK) + self._chance(_THIRD_CLICK)):
                product = self._catalogue.find(self._random, narrowed)
                yield self._event("search_click", query, product)
                self._pause(_READS_MS)
                if self._chance(_VIEWS_ALIKE):
                    like_it = Need(need.product_type, "", need.attribute, "")
                    yield self._event("view", None, self._catalogue.find(self._random, like_it))
                    self._pause(_VIEWS_MS)
            if self._chance(_ADDS_TO_CART):
                yield self._event("add_to_cart", query, product)
                self._pause(_DECIDES_MS)
                if self._chance(_BUYS):
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
        return chance(self._random, probability)

    def _pause(self, mean_ms: int) -> None:
        self._clock_ms += pause_ms(self._random, mean_ms)
