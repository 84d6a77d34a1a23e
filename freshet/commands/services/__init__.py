"""Run it: the processes that run all day."""
