"""The demo: the whole system in two minutes."""
