"""How a process of each kind is, from its metrics."""
