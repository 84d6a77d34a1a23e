"""A shop's history, its careless platform, and what befalls workers and broker."""
