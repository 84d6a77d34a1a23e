"""Which neighbours of what changed are recomputed next, and which wait."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from model.fresh.active.nodes import ActiveRows
from model.fresh.active.origin import Clicks, Origin
from model.fresh.limits import RoundLimits
from protos.text import text_key
from stream.dtypes import Float32s, Int64s

# Of a weight: the logarithm of some million sessions. It bounds from above what a node
# can tell another, so that most rows need not be read; twice as much: a third more are.
_LARGEST_WEIGHT = 14.0
# Nodes that the usual sensitivity is taken of, evenly spaced. Twice as many: twice the
# reads when a refresher starts.
_SAMPLED_NODES = 2048
# Share of nodes that are no more sensitive than a usual one. Half the distance to 1
# reads more rows, for the sake of one node in two hundred.
_USUAL = 0.99
# A movement below this share of `RoundLimits.least_movement` is not added to what a
# node waits with: ten such rounds do not make one that counts.
_LEAST_SHARE = 0.1


class Sender(NamedTuple):
    """Nodes of the generation whose messages changed.

    Attributes:
        row: ``int64 [n]``.
        change: ``float32 [n]``, the length of the change, over all layers.
    """

    row: Int64s
    change: Float32s


class Waiting:
    """Nodes of the generation that are not active, by how much they would move.

    Movement is estimated from above, in radians: lengths are added whatever their
    directions.

    Args:
        origin: the generation's nodes.
        active: which of them are active.
        limits: what bounds the work of a round.

    Attributes:
        rows: ``int64 [n]``, nodes that wait.
    """

    def __init__(self, origin: Origin, active: ActiveRows, limits: RoundLimits) -> None:
        self._origin = origin
        self._active = active
        self._limits = limits
        sample = np.unique(
            np.linspace(0, max(0, origin.num_nodes - 1), _SAMPLED_NODES).astype(np.int64)
        )[: origin.num_nodes]
        sensitivity = origin.sensitivity(sample)
        self._usual_sensitivity = (
            float(np.quantile(sensitivity, _USUAL)) if len(sensitivity) else 0.0
        )
        # Memory is taken for the nodes that something is noted of.
        self._movement = np.zeros(origin.num_nodes, dtype=np.float32)
        self._is_waiting = np.zeros(origin.num_nodes, dtype=np.bool_)
        self._is_late = np.zeros(origin.num_nodes, dtype=np.bool_)
        self.rows = np.zeros(0, dtype=np.int64)

    @property
    def largest(self) -> float:
        """The largest movement that a node waits with, in radians."""
        return float(self._movement[self.rows].max(initial=0.0))

    def offer(self, senders: Sender) -> None:
        """Note what changes of messages mean for neighbours that are not active.

        Those that one sender moves most may be taken in this round; what is beyond
        `RoundLimits.max_neighbours` is late.
        """
        least = _LEAST_SHARE * self._limits.least_movement
        weight = np.minimum(self._origin.weights(senders.row), _LARGEST_WEIGHT)
        # A neighbour's degree is at least the weight of the edge to it.
        reach = senders.change * self._usual_sensitivity * np.sqrt(weight)
        told = np.flatnonzero(reach > least)
        rows, change = senders.row[told], senders.change[told]
        clicks = self._clicks(rows)
        is_asleep = self._active.slots(clicks.other) < 0
        place, other = clicks.place[is_asleep], clicks.other[is_asleep]
        movement = np.log1p(clicks.sessions[is_asleep]) * change[place]
        movement /= np.sqrt(self._origin.weights(other))
        movement *= self._origin.sensitivity(other)
        counts = np.flatnonzero(movement > least)
        self._note(place[counts], other[counts], movement[counts].astype(np.float32))

    def take(self, count: int, asked: Mapping[str, float]) -> Int64s:
        """Remove and return the next nodes, most asked first, then those that move
        most.

        Args:
            count: how many at most.
            asked: how often each normalised query text is asked.
        """
        awake = self._active.slots(self.rows) >= 0
        self._forget(self.rows[awake])
        ready = self.rows[~self._is_late[self.rows]]
        if len(ready) > count:
            keys = np.array([text_key(text) for text in asked], dtype=np.uint64)
            rows = self._origin.rows_of(keys, is_item=False)
            often = np.zeros(len(ready))
            weight = dict(zip(rows.tolist(), asked.values(), strict=True))
            asked_ready = np.flatnonzero(np.isin(ready, rows))
            often[asked_ready] = [weight[row] for row in ready[asked_ready].tolist()]
            ready = ready[np.lexsort((-self._movement[ready], -often))][:count]
        self._forget(ready)
        return ready

    def end_round(self) -> None:
        """Let what was late be taken from the next round on."""
        self._is_late[self.rows] = False

    def _clicks(self, rows: Int64s) -> Clicks:
        """Return the clicks of nodes; of hubs the strongest only."""
        is_hub = self._origin.num_clicks(rows) > self._limits.longest_row
        plain = self._origin.clicks(rows[~is_hub])
        parts = [plain._replace(place=np.flatnonzero(~is_hub)[plain.place])]
        for place in np.flatnonzero(is_hub).tolist():
            clicks = self._origin.strongest(int(rows[place]), self._limits.max_neighbours)
            parts.append(clicks._replace(place=clicks.place + place))
        return Clicks(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _note(self, place: Int64s, other: Int64s, movement: Float32s) -> None:
        # The rank of a neighbour among those of its sender, by movement.
        order = np.lexsort((-movement, place))
        starts = np.searchsorted(place[order], place[order])
        is_late = np.empty(len(order), dtype=np.bool_)
        is_late[order] = np.arange(len(order)) - starts >= self._limits.max_neighbours
        rows, number = np.unique(other, return_inverse=True)
        self._movement[rows] += np.bincount(number, movement, minlength=len(rows)).astype(
            np.float32
        )
        in_time = np.bincount(number, ~is_late, minlength=len(rows)) > 0
        is_new = ~self._is_waiting[rows]
        self._is_late[rows[is_new]] = True
        self._is_late[rows[in_time]] = False
        enough = is_new & (self._movement[rows] >= self._limits.least_movement)
        self._is_waiting[rows[enough]] = True
        self.rows = np.concatenate([self.rows, rows[enough]])

    def _forget(self, rows: Int64s) -> None:
        self._is_waiting[rows] = False
        self._movement[rows] = 0.0
        self.rows = self.rows[self._is_waiting[self.rows]]
