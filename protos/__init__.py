"""Contracts: events, retrieval, manifests, and the text rules that all share."""
