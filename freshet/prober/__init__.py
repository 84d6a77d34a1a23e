"""Walks the real path, from a topic to an answer, with events that are nobody's."""
