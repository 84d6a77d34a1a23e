"""One shard's records on disk: layout, database, names, epochs, locks."""
