"""What `freshet evaluate` measures on a log of events, and how it says it."""
