"""The channels of the network: one list for training, serving and explaining.

Network, attention, `freshet explain`, the memory estimate, artifacts and the switches
of ablations go over it; see `docs/how-to/add-a-channel.md`. How a channel propagates is
in `model/network/propagation/`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, Protocol

TEXT: Final = "text"


@dataclass(frozen=True, kw_only=True)
class ChannelSpec:
    """One channel.

    Attributes:
        name: in the manifest, in `freshet explain`, in the memory estimate.
        explains: what it propagates, for `freshet explain`.
        switch: the setting of ``[model]`` that takes it out; empty: it is always there.
        has_fused_kernel: a step propagates to the nodes that it compares with a
            gradient written out, in `model.network.fused_channels`.
        kept_vectors: vectors of every node that a step keeps for its gradient, where
            the gradient is not written out.
        step_bytes_of_entry: bytes that a step adds to each entry of its sparse matrices
            (`model.data.graph_size.ChannelSize`): values and indexes of what is
            visible.
    """

    name: str
    explains: str
    switch: str
    has_fused_kernel: bool
    kept_vectors: int
    step_bytes_of_entry: int


# In the order of every attention vector, which artifacts store: a new channel comes
# last. The numbers were read off torch's record of what it allocates; twice as much
# would sample graphs that fit (tests/model/training/limits/test_memory_estimate.py).
CHANNELS: Final = (
    ChannelSpec(
        name=TEXT,
        explains="its own words, and its own vector once it has been seen",
        switch="",
        has_fused_kernel=False,
        kept_vectors=0,  # the text towers' own, which are counted with them
        step_bytes_of_entry=0,
    ),
    ChannelSpec(
        name="bipartite",
        explains="queries and items that clicks join to it",
        switch="use_bipartite",
        has_fused_kernel=True,
        kept_vectors=1,
        step_bytes_of_entry=8,
    ),
    ChannelSpec(
        name="hypergraph",
        explains="what was in one session with it",
        switch="use_hypergraph",
        has_fused_kernel=True,
        kept_vectors=1,
        step_bytes_of_entry=16,
    ),
)

CHANNEL_NAMES: Final = tuple(channel.name for channel in CHANNELS)

# The channels of every generation from before manifests named them.
FIRST_CHANNELS: Final = ("text", "bipartite", "hypergraph")


class Switches(Protocol):
    """The settings that switch parts of the network on, beside one a channel.

    `model.settings.ModelSettings` has them.
    """

    @property
    def use_ids(self) -> bool:
        """Whether nodes have vectors of their own beside their text."""


def channels_on(settings: Switches) -> frozenset[str]:
    """Return the names of the channels that the settings leave in."""
    return frozenset(
        channel.name
        for channel in CHANNELS
        if not channel.switch or getattr(settings, channel.switch)
    )


def switches_for(names: Collection[str]) -> dict[str, Any]:
    """Return the settings of ``[model]`` that leave these channels in and take all
    others out, for an ablation.

    Without a channel of the graph, nodes have no vectors of their own either: what is
    left is text.
    """
    switches = {channel.switch: channel.name in names for channel in CHANNELS if channel.switch}
    return {**switches, "use_ids": any(switches.values())}


def has_fused_step(settings: Switches) -> bool:
    """Return whether a step over the whole graph goes through the fused kernel.

    It is written for all channels that have one, and for no others.
    """
    fused = {channel.name for channel in CHANNELS if channel.has_fused_kernel}
    return channels_on(settings) - {TEXT} == fused and settings.use_ids
