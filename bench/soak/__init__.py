"""Workers and broker killed and paused under load, then the graph compared."""
