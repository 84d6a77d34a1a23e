"""How well the live generation answers the clicks that came after it."""
