"""The running session of a request: what of it counts, and where it draws the query."""
