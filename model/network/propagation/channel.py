"""What a channel is to the network: three forms of its part of a graph, and its
formula.

A channel's file has one instance of `Propagation`; the table is in
`model.network.propagation.propagations`.
"""

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from model.data.graph import GraphPart
from model.data.graph_size import ChannelSize
from model.network.graph import Hearing, VisibilityMask
from model.settings import ModelSettings
from stream.dtypes import Int64s


class DeviceForm(Protocol):
    """A channel's part of a whole graph, on the device: for steps that go over all."""

    def open(self, visible: VisibilityMask) -> Hearing:
        """Return the messages to all nodes under a visibility mask."""


class HostForm(Protocol):
    """A channel's part of a whole graph, in the host's memory: to draw from, and for
    exports.
    """

    def open(self, visible: VisibilityMask) -> "HostHearing":
        """Return the messages to all nodes under a visibility mask, on the host."""


class HostHearing(Hearing, Protocol):
    """The messages to all nodes in one channel, in the host's memory.

    `along` has no gradient here.
    """

    def draw(self, nodes: Int64s, settings: ModelSettings) -> "Drawn":
        """Draw the messages to some nodes, ``int64 [n]`` ascending and distinct.

        Of a node's neighbours at most `settings.num_neighbours` are drawn, uniformly
        and without replacement; each is scaled by the inverse sampling rate. Numbers
        come from torch's generator.
        """


class Drawn(Protocol):
    """What was drawn for some nodes."""

    @property
    def senders(self) -> Int64s:
        """``int64 [m]``, the nodes that send."""

    @property
    def size(self) -> ChannelSize:
        """How much was drawn."""

    def hearing(self, nodes: Int64s, device: torch.device) -> Hearing:
        """Return it on the device, for rows that are `nodes`: ascending, distinct, and
        all that was drawn for and all senders among them.
        """


class Propagation(Protocol):
    """One channel.

    Attributes:
        name: its name in `model.artifact.channels`.
        fed_by: channels, before it in the table, whose vectors it starts from beside
            the node's own, each times a learned share.
    """

    name: str
    fed_by: tuple[str, ...]

    def on_device(self, part: GraphPart, device: torch.device) -> DeviceForm:
        """Return its part of a graph on the device."""

    def on_host(self, part: GraphPart) -> HostForm:
        """Return its part of a graph in the host's memory."""

    def layers(self, start: Tensor, hearing: Hearing, settings: ModelSettings) -> Iterator[Tensor]:
        """Yield the vectors of each layer, ``float32 [num_rows, dim]``; the channel's
        are their sum.

        Args:
            start: ``float32 [num_rows, dim]``, what it propagates.
            hearing: its messages.
            settings: of the network.
        """
