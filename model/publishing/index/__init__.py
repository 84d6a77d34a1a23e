"""A generation's index: which engine, searched how wide, by measurement."""
