"""The console: a read-only page of what is fresh, what is not, and why an answer is."""
