"""Look: what there is, and how it is. Nothing here trains or writes a graph."""
