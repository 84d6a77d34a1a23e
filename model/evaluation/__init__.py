"""How good retrieval is on a log's own future.

Split by time, baselines, models, intervals.

Training does not need any of it.
"""
