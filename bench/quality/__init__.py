"""Retrieval quality on real logs and simulated shops: `python -m bench quality`."""
