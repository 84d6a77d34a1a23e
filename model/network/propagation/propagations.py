"""The table of channels that propagate over a graph, in the order in which they do.

A new channel is its file, its line here, and its spec in `model.artifact.channels`; see
`docs/how-to/add-a-channel.md`.
"""

from typing import Final

from model.network.propagation.bipartite import Bipartite
from model.network.propagation.channel import Propagation
from model.network.propagation.hypergraph import Hypergraph

# The bipartite channel first: it feeds the hypergraph one.
PROPAGATIONS: Final[tuple[Propagation, ...]] = (Bipartite(), Hypergraph())
