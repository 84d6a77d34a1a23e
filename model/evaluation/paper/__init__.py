"""The protocol of Han et al. (WSDM 2023): random edges, groups by degree, sampled
candidates.

As the paper's public code has it
(amazon-science/dual-channel-hypergraph-neural-network; its names in brackets), and
without what that code lets through. docs/benchmarks.md says where the two differ.
"""
