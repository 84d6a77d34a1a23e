"""Asks a Freshet retrieval server."""
