"""Look: what there is, and how it is. Nothing here trains, and only a
replay of the quarantine writes a graph.
"""
