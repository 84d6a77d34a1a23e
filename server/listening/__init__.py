"""Where a server listens, and which door each method's calls come in at."""
