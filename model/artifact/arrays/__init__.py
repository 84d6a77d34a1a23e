"""Arrays and texts as files: NumPy's format, several in one file, string tables."""
