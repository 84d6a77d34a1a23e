"""Stores as commands open them: the graph's, filled or read, and the generations'."""
