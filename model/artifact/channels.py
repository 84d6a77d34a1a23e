"""The channels of the network, in the order of every attention vector."""

CHANNELS = ("text", "bipartite", "hypergraph")
