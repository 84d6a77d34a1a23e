"""What bounds the work of a round of the fresh lane."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RoundLimits:
    """Bounds of a round. What a click or a session names is always recomputed; these
    are about its neighbours.
    """

    # Some tenths of a second of CPU. Twice as many: up to twice the time of a round.
    max_round_nodes: int = 4096
    """Neighbours that one round recomputes; others are carried over, most asked
    first.
    """
    # Of one changed node. Twice as many: up to twice the work of a click, for those
    # that move less.
    max_neighbours: int = 64
    """Neighbours that one changed node reaches in a round; those that it moves most."""
    # 4 KB each: a gigabyte. Twice as many: twice that.
    max_active_nodes: int = 1 << 18
    """Nodes that differ from the generation, above which neighbours stay as they
    are.
    """
    # Radians: a cosine of 0.9999. Twice as much: a cosine of 0.9995 is not noticed.
    least_movement: float = 0.015
    """Estimated movement of a neighbour below which it stays as it is, in radians."""
    # Of a memory-mapped row, 1 ms to read and weigh. Twice as many: twice that, for
    # neighbours that move less.
    longest_row: int = 1024
    """Neighbours of a node above which it is a hub: only its strongest are looked
    at.
    """
