"""The hypergraph channel: messages between the nodes of one session.

From node to session to node, with `H` the incidence of nodes and hyperedges (sessions)
and `D_v`, `D_e` their degrees: ``D_v^-1 H D_e^-1 H^T x``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from model.data.graph import GraphPart
from model.data.graph_size import ChannelSize
from model.network.compressed_rows import CsrMatrix
from model.network.graph import Hearing, VisibilityMask
from model.network.messages import Messages, WeightedPattern, draw
from model.network.sparse import Matrix, Pattern, gather
from model.settings import ModelSettings
from stream.dtypes import Float32s, Int64s


class Hypergraph:
    """See `model.network.propagation.channel.Propagation`."""

    name = "hypergraph"
    fed_by: tuple[str, ...] = ("bipartite",)

    def on_device(self, part: GraphPart, device: torch.device) -> "DeviceSessions":
        """See `Propagation`."""
        return DeviceSessions(part, device)

    def on_host(self, part: GraphPart) -> "HostSessions":
        """See `Propagation`."""
        return HostSessions(part)

    def layers(
        self,
        start: Tensor,
        hearing: Hearing,
        settings: ModelSettings,  # noqa: ARG002  # it has one layer
    ) -> Iterator[Tensor]:
        """Node to session to node: D_v^-1 H D_e^-1 H^T x."""
        yield hearing.along(start, 0)


class DeviceSessions:
    """All hyperedges of a graph on the device."""

    def __init__(self, part: GraphPart, device: torch.device) -> None:
        self.incidences = Pattern(
            part.incidence_hyperedge,
            part.incidence_node,
            part.num_hyperedges,
            part.num_nodes,
            device,
        )

    def open(self, visible: VisibilityMask) -> "OpenSessions":
        """See `DeviceForm`."""
        return OpenSessions(self, visible)


class OpenSessions:
    """What is visible of all hyperedges, on the device; see `Hearing`."""

    def __init__(self, sessions: DeviceSessions, visible: VisibilityMask) -> None:
        self._incidences = sessions.incidences
        self._open = gather(visible.hyperedge, sessions.incidences.row)
        self._node = visible.node

    @cached_property
    def degree(self) -> Tensor:
        """The number of each node's visible hyperedges."""
        return self._member_degree * self._node

    def along(self, x: Tensor, layer: int) -> Tensor:  # noqa: ARG002  # it has one layer
        """Return D_v^-1 H D_e^-1 H^T x."""
        of_sessions = self._incidences.product(self._to_session, x)
        return self._incidences.transposed_product(self._from_session, of_sessions)

    def to_session(self) -> tuple[Matrix, Matrix]:
        """Return D_e^-1 H^T and its transpose."""
        return self._incidences.both(self._to_session)

    def from_session(self) -> tuple[Matrix, Matrix]:
        """Return D_v^-1 H and its transpose."""
        matrix, transposed = self._incidences.both(self._from_session)
        return transposed, matrix

    @cached_property
    def _to_session(self) -> Tensor:
        """Entries of H D_e^-1: a session is the mean of its members."""
        size = self._incidences.row_sums(self._open).clamp(min=1.0)
        return self._open / gather(size, self._incidences.row)

    @cached_property
    def _from_session(self) -> Tensor:
        """Entries of D_v^-1 H: a node gets the mean of its sessions, a hidden one
        nothing.
        """
        share = self._node / self._member_degree.clamp(min=1.0)
        return self._open * gather(share, self._incidences.column)

    @cached_property
    def _member_degree(self) -> Tensor:
        return self._incidences.column_sums(self._open)


class HostSessions:
    """All hyperedges of a graph in the host's memory.

    Attributes:
        of_node: row: node, column: its hyperedges.
        members: row: hyperedge, column: its nodes.
    """

    def __init__(self, part: GraphPart) -> None:
        self.of_node = CsrMatrix(part.incidence_node, part.incidence_hyperedge, part.num_nodes)
        self.members = CsrMatrix(part.incidence_hyperedge, part.incidence_node, part.num_hyperedges)
        self.num_nodes = part.num_nodes

    def open(self, visible: VisibilityMask) -> "OpenHostSessions":
        """See `HostForm`."""
        return OpenHostSessions(self, visible)


class OpenHostSessions:
    """What is visible of all hyperedges, in the host's memory; see `HostHearing`."""

    def __init__(self, sessions: HostSessions, visible: VisibilityMask) -> None:
        self._sessions = sessions
        self._hyperedge: Float32s = visible.hyperedge.numpy()
        self._node: Float32s = visible.node.numpy()

    @property
    def degree(self) -> Tensor:
        """The number of each node's visible hyperedges."""
        return torch.from_numpy(self._degree * self._node)

    def along(self, x: Tensor, layer: int) -> Tensor:  # noqa: ARG002  # it has one layer
        """Return D_v^-1 H D_e^-1 H^T x."""
        of_node, members = self._sessions.of_node, self._sessions.members
        size = self._hyperedge / np.maximum(members.lengths, 1)
        session = members.product(size[members.row].astype(np.float32), x)
        share = (1.0 / np.maximum(self._degree, 1.0)).astype(np.float32)
        values = self._hyperedge[of_node.column] * share[of_node.row]
        return of_node.product(values, session).mul_(torch.from_numpy(self._node)[:, None])

    def draw(self, nodes: Int64s, settings: ModelSettings) -> "DrawnSessions":
        """See `HostHearing`; hyperedges of nodes are drawn, then members of those."""
        of_node, members = self._sessions.of_node, self._sessions.members
        bound = settings.num_neighbours
        places = of_node.places(nodes[self._node[nodes] > 0])
        places, more = draw(places[self._hyperedge[of_node.column[places]] > 0], of_node.row, bound)
        node, hyperedge = of_node.row[places], of_node.column[places]
        from_session = Messages(row=node, column=hyperedge, value=more / self._degree[node])
        places, more = draw(members.places(np.unique(hyperedge)), members.row, bound)
        size = members.lengths[members.row[places]].astype(np.float32)
        to_session = Messages(
            row=members.row[places], column=members.column[places], value=more / size
        )
        return DrawnSessions(
            to_session=to_session, from_session=from_session, degree=self._degree * self._node
        )

    @cached_property
    def _degree(self) -> Float32s:
        rows = self._sessions.of_node
        visible = self._hyperedge[rows.column]
        return np.bincount(rows.row, visible, self._sessions.num_nodes).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class DrawnSessions:
    """Hyperedges and members drawn for a batch; see `Drawn`.

    Attributes:
        to_session: from members to hyperedges.
        from_session: from hyperedges to nodes.
        degree: ``float32 [num_nodes]``, of all nodes of the graph.
    """

    to_session: Messages
    from_session: Messages
    degree: Float32s

    @property
    def senders(self) -> Int64s:
        """See `Drawn`."""
        return self.to_session.column

    @property
    def size(self) -> ChannelSize:
        """See `Drawn`."""
        entries = len(self.to_session.value) + len(self.from_session.value)
        return ChannelSize(entries=entries, middles=len(np.unique(self.to_session.row)))

    def hearing(self, nodes: Int64s, device: torch.device) -> "SessionMessages":
        """See `Drawn`."""
        hyperedges = np.unique(self.to_session.row)
        return SessionMessages(
            degree=torch.from_numpy(self.degree[nodes]).to(device),
            to_session=self.to_session.pattern(hyperedges, nodes, device),
            from_session=self.from_session.pattern(nodes, hyperedges, device),
        )


@dataclass(frozen=True, kw_only=True)
class SessionMessages:
    """The messages of a batch, on the device; see `Hearing`."""

    degree: Tensor
    to_session: WeightedPattern
    from_session: WeightedPattern

    def along(self, x: Tensor, layer: int) -> Tensor:  # noqa: ARG002  # it has one layer
        """Return D_v^-1 H D_e^-1 H^T x, of what was drawn."""
        return self.from_session.product(self.to_session.product(x))
