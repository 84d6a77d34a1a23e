"""Small processes that tests start, kill and pause."""
