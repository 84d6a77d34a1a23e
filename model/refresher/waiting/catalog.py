"""States of the catalogue that wait for a round, the newest of each item and shard."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from stream.events.types import CatalogItem
from stream.feed.changes import ShardChanges


class ItemKey(NamedTuple):
    """An item, and the shard whose state of it waits."""

    shard: int
    item: int


class _State(NamedTuple):
    """A state of the catalogue that waits.

    Attributes:
        item: the state.
        first: number of the first write of which it is the newest state by now.
    """

    item: CatalogItem
    first: int


@dataclass
class WaitingStates:
    """States that wait, in the order of their first writes.

    Attributes:
        states: all of them.
        gone: those that make an item gone.
        new: those of items that no shard had named before.
    """

    states: dict[ItemKey, _State] = field(default_factory=dict)
    gone: dict[ItemKey, None] = field(default_factory=dict)
    new: dict[ItemKey, None] = field(default_factory=dict)

    @property
    def first(self) -> int | None:
        """Number of the first write that not all was taken of; None: nothing waits."""
        return next((state.first for state in self.states.values()), None)

    def urgent(self, limit: int) -> dict[ItemKey, None]:
        """Return what makes an item gone, and up to `limit` that list a new one."""
        new = (key for key, _ in zip(self.new, range(limit), strict=False))
        return dict.fromkeys([*self.gone, *new])

    def others(self, keys: dict[ItemKey, None], limit: int) -> dict[ItemKey, None]:
        """Return these and others, the first that wait, up to `limit` together."""
        for key in self.states:
            if len(keys) >= limit:
                break
            keys.setdefault(key)
        return keys

    def put(self, key: ItemKey, item: CatalogItem, number: int, *, is_new: bool) -> None:
        """Let a state wait in place of an older one."""
        before = self.states.get(key)
        self.states[key] = _State(item, number if before is None else before.first)
        is_new |= key in self.new
        self.gone.pop(key, None)
        self.new.pop(key, None)
        if item.deleted or not item.available:
            self.gone[key] = None
        elif is_new:
            self.new[key] = None

    def take(self, keys: Iterable[ItemKey]) -> list[ShardChanges]:
        """Take states out, a change for each shard."""
        by_shard: dict[int, dict[int, CatalogItem]] = {}
        for key in keys:
            by_shard.setdefault(key.shard, {})[key.item] = self.states.pop(key).item
            self.gone.pop(key, None)
            self.new.pop(key, None)
        return [
            ShardChanges(shard=shard, sequence=0, catalog=states)
            for shard, states in sorted(by_shard.items())
        ]
