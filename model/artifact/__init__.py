"""All that a server needs of a generation; no torch."""
