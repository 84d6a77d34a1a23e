"""Faults, injected while traffic runs, and the alerts that arrive."""
