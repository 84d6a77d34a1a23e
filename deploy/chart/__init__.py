"""Generates what the Helm chart takes from Freshet: its schema, its topics."""
