"""The part of the graph that has changed since a generation, by slots."""
