"""A shop's history, its publisher, and the faults injected into workers and broker."""
