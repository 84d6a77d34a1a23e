"""Which generation is taken, when, and why one is not."""
