"""Which items may be in an answer, and the nearest of those."""
