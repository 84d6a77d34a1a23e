"""Try it: the whole system, a shop of your own, and a first query."""
