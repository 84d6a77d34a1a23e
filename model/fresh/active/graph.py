"""The active part of the graph: nodes that changed, and what they tell each other.

Forward push on a changing graph (after InstantGNN, Zheng et al., KDD 2022). For every
active node it keeps what it has heard of its neighbours in each layer: what the
generation has, and what has changed since of those that are active as well. A node that
is not active is what the generation says.
"""

import numpy as np

from model.fresh.active.feedback import Feedback
from model.fresh.active.hyperedges import Hyperedges, SessionMembers
from model.fresh.active.links import Links, pair_codes
from model.fresh.active.nodes import ActiveRows, Nodes
from model.fresh.active.origin import Clicks, Origin
from model.fresh.active.waiting import Sender, Waiting
from model.fresh.limits import RoundLimits
from model.fresh.network import FrozenNetwork
from model.sums import add_distinct, add_numbers, add_products, norms, summed_products
from stream.dtypes import Bools, Float32s, Int64s

# The least relative change of a message that is passed on; float16 rounds off a sixth
# of it. Smaller ones add up until they are larger. Three times as much: errors of a
# hundredth of a radian; a third: a twelfth more CPU where all is clicked all the time.
_LEAST_CHANGE = 3e-3
# A look for one neighbour in a sorted row costs about as much as reading so many: a
# longer row is searched for the active nodes instead of read. Twice as many: up to
# twice the time of a hub that becomes active.
_READS_OF_A_SEARCH = 16


class ActiveGraph:
    """Nodes by slot, what sessions and clicks change of them, and how it spreads.

    Args:
        origin: the generation's nodes; None: only new ones are known.
        network: its weights.
        limits: what bounds the work of a round.
        feedback_weight: what clicks since the generation are worth to their queries.
        near_cosine: how near new queries come to new items that were clicked for them.
        min_sessions: distinct sessions below which an edge does not count.

    Attributes:
        nodes: the state of the active nodes.
        rows: which nodes of the generation are active.
        links: the edges among active nodes.
        feedback: what queries were clicked for since the generation.
        waiting: nodes of the generation that are not active and would move.
    """

    def __init__(
        self,
        origin: Origin | None,
        network: FrozenNetwork,
        limits: RoundLimits,
        *,
        feedback_weight: float,
        near_cosine: float,
        min_sessions: int,
    ) -> None:
        self._origin = origin
        self._longest_row = limits.longest_row
        self._num_layers = origin.num_layers if origin is not None else 0
        self.nodes = Nodes(self._num_layers, network)
        self.rows = ActiveRows(origin.num_nodes if origin is not None else 0)
        self.links = Links(min_sessions)
        self.feedback = Feedback(self.nodes, self.links, weight=feedback_weight, cosine=near_cosine)
        self.waiting = Waiting(origin, self.rows, limits) if origin is not None else None
        self._hyperedges = Hyperedges(origin, self.nodes, self.rows)

    def add_new(self, own: Float32s, is_item: Bools) -> Int64s:
        """Add nodes that the generation does not have; return their slots.

        Args:
            own: ``float32 [n, dim]``, their text vectors.
            is_item: ``bool [n]``.
        """
        rows = np.full(len(own), -1, dtype=np.int64)
        nothing = np.zeros_like(own)
        return self.nodes.add(rows, is_item, self.nodes.new_states(own), nothing)

    def activate(self, rows: Int64s) -> Int64s:
        """Make nodes of the generation active, ``int64 [n]`` distinct, none of which
        is; return their slots.

        They hear at once what has changed of neighbours that are active.
        """
        origin = self._origin
        if origin is None or not len(rows):
            return np.zeros(0, dtype=np.int64)
        first, is_item = self.nodes.count, rows >= origin.num_queries
        slots = self.nodes.add(rows, is_item, origin.states(rows), origin.vectors(rows))
        columns = self.nodes.columns
        columns.sent[slots] = np.nan_to_num(columns.sent[slots], nan=0.0, posinf=0.0, neginf=0.0)
        self.rows.set(rows, slots)
        clicks = self._active_clicks(origin, rows, slots)
        self.links.add(
            np.where(columns.is_item[clicks.place], clicks.other, clicks.place),
            np.where(columns.is_item[clicks.place], clicks.place, clicks.other),
            clicks.sessions,
        )
        self._listen(origin, clicks, first)
        self._hyperedges.catch_up(slots)
        return slots

    def has_neighbours(self, rows: Int64s, slots: Int64s) -> Bools:
        """Return ``bool [n]``, which nodes have an edge or a hyperedge.

        Args:
            rows: ``int64 [n]``, their nodes in the generation; -1: they have none.
            slots: ``int64 [n]``; -1: they are as the generation has them.
        """
        found = np.zeros(len(rows), dtype=np.bool_)
        active, asleep = slots >= 0, (slots < 0) & (rows >= 0)
        columns = self.nodes.columns
        found[active] = (columns.weight[slots[active]] > 0) | (
            columns.hyperedges[slots[active]] > 0
        )
        if self._origin is not None:
            found[asleep] = self._origin.is_seen(rows[asleep])
        return found

    def change_texts(self, slots: Int64s, own: Float32s) -> None:
        """Give distinct nodes other text vectors."""
        self.nodes.columns.own[slots] = own

    def tell_hyperedges(self) -> None:
        """Let nodes whose vector is to be computed again tell their hyperedges what has
        changed of them; those hear that are active.
        """
        columns, count = self.nodes.columns, self.nodes.count
        self._hyperedges.tell(np.flatnonzero(columns.unrest[:count] > 0))

    def change_sessions(self, members: SessionMembers) -> None:
        """Take touched sessions in."""
        self._hyperedges.change(members)

    def num_new_sessions(self, slots: Int64s) -> Int64s:
        """Return ``int64 [n]``, sessions since the generation that have some nodes and
        others.
        """
        return self._hyperedges.num_new_sets(slots)

    def in_new_sessions(self, slots: Int64s) -> tuple[Int64s, Int64s, Float32s]:
        """Return what `Hyperedges.in_new_sets` does."""
        return self._hyperedges.in_new_sets(slots)

    def change_edges(self, query: Int64s, item: Int64s, sessions: Int64s) -> None:
        """Add sessions to distinct edges, given by slots; ``int64 [n]`` each."""
        links = self.links.find(query, item)
        new = np.flatnonzero(links < 0)
        links[new] = self.links.add(query[new], item[new], np.zeros(len(new), dtype=np.int64))
        change = self.links.change(links, sessions)
        columns = self.nodes.columns
        for here, there in ((query, item), (item, query)):
            add_numbers(columns.weight, here, change)
            for layer in range(self._num_layers):
                add_products(columns.heard[:, layer], here, change, columns.sent[:, layer], there)
        self.nodes.settle(np.unique(np.concatenate([query, item])))

    def spread(self, slots: Int64s) -> None:
        """Let nodes, ``int64 [n]`` distinct, tell their neighbours what has changed of
        them, and those their own.
        """
        columns, count = self.nodes.columns, self.nodes.count
        change = np.zeros(count, dtype=np.float32)
        for layer in range(self._num_layers):
            size, length = self.nodes.moves_to_send(slots, layer)
            with np.errstate(invalid="ignore"):
                tells = np.isfinite(size) & (size > _LEAST_CHANGE * length)
            told = slots[tells]
            sent = self.nodes.to_send(told, layer)
            moved = sent - columns.sent[told, layer]
            columns.sent[told, layer] = sent
            change[told] += size[tells]
            found = self.links.of(told)
            weight = self.links.weights(found.link)
            others, heard = summed_products(found.other, weight, moved, found.place, count)
            add_distinct(columns.heard[:, layer], others, heard)
            degree = columns.weight[others]
            movement = np.zeros(len(others))
            np.divide(norms(heard), np.sqrt(degree), out=movement, where=degree > 0)
            columns.unrest[others] += (movement * columns.sensitivity[others]).astype(np.float32)
            if layer + 1 < self._num_layers:
                columns.heard[told, layer + 1] += columns.returns[told, None] * moved
            is_met = np.zeros(count, dtype=np.bool_)
            is_met[slots] = is_met[others] = True
            slots = np.flatnonzero(is_met)
        if self.waiting is not None:
            known = np.flatnonzero((change > 0) & (columns.row[:count] >= 0))
            self.waiting.offer(Sender(columns.row[known], change[known]))

    def _active_clicks(self, origin: Origin, rows: Int64s, slots: Int64s) -> Clicks:
        """Return clicks of some nodes with active ones, each pair once, by slots."""
        columns, count = self.nodes.columns, self.nodes.count
        bound = max(self._longest_row, _READS_OF_A_SEARCH * count)
        is_long = origin.num_clicks(rows) > bound
        plain = origin.clicks(rows[~is_long])
        parts = [plain._replace(place=np.flatnonzero(~is_long)[plain.place])]
        for number in np.flatnonzero(is_long).tolist():
            opposite = columns.is_item[:count] != columns.is_item[slots[number]]
            active = columns.row[:count][opposite & (columns.row[:count] >= 0)]
            clicks = origin.clicks_among(int(rows[number]), active)
            parts.append(clicks._replace(place=clicks.place + number))
        place, other, sessions = (np.concatenate(column) for column in zip(*parts, strict=True))
        here, there = slots[place], self.rows.slots(other)
        kept = np.flatnonzero(there >= 0)
        here, there, sessions = here[kept], there[kept], sessions[kept]
        _, once = np.unique(
            pair_codes(np.minimum(here, there), np.maximum(here, there)), return_index=True
        )
        return Clicks(here[once], there[once], sessions[once])

    def _listen(self, origin: Origin, clicks: Clicks, first: int) -> None:
        """Let nodes that are new among the active hear of their active neighbours, and
        settle what those had of them as of nodes that are not active.

        Args:
            origin: the generation's nodes.
            clicks: of new nodes with active ones, by slots.
            first: the first slot that is new.
        """
        columns = self.nodes.columns
        weight = self.links.weight_of(clicks.sessions)
        degree = {
            "here": origin.weights(columns.row[clicks.place]),
            "there": origin.weights(columns.row[clicks.other]),
        }
        with np.errstate(divide="ignore", invalid="ignore"):
            back_here, back_there = weight**2 / degree["there"], weight**2 / degree["here"]
        add_numbers(columns.returns, clicks.place, -back_here)
        add_numbers(columns.returns, clicks.other, -back_there)
        touched = np.unique(np.concatenate([clicks.place, clicks.other]))
        columns.returns[touched] = np.maximum(columns.returns[touched], 0.0)
        old = np.flatnonzero(clicks.other < first)
        elders, which = np.unique(clicks.other[old], return_inverse=True)
        if not len(elders):
            return
        moved = columns.sent[elders] - np.nan_to_num(origin.states(columns.row[elders]).sent)
        for layer in range(self._num_layers):
            changed = moved[:, layer]
            heard = columns.heard[:, layer]
            add_products(heard, clicks.place[old], weight[old], changed, which)
            # What an elder sent came back through this neighbour by `returns`. From now
            # on it comes back as any message does.
            if layer + 1 < self._num_layers:
                back = np.bincount(which, back_there[old], minlength=len(elders))
                columns.heard[elders, layer + 1] -= back.astype(np.float32)[:, None] * changed
