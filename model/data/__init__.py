"""Snapshot arrays to a training set; no torch."""
