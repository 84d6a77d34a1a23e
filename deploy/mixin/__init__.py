"""Generates rules, dashboards and the files around them from one source."""
