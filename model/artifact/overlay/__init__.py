"""Overlay segments: what was recomputed of a generation after its snapshot."""
