"""Offline evaluation on a time split of a log: baselines, models, intervals.

Training does not need any of it.
"""
