"""Bytes to events to columns: what a record is, and what of it is used."""
