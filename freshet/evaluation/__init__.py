"""What `freshet evaluate` measures on a log of events, and its reports."""
