"""Servers beside each other in one run: ratios of CPU, workers, and what swaps cost."""
