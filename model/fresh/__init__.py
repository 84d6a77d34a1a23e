"""The fresh lane: vectors of what changed since a generation; no torch."""
