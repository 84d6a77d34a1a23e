"""By hand: commands that run once, when an operator starts them."""
