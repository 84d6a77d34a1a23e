"""Backups of a store and its generations at a URL: made, listed, verified, restored."""
