"""All shards read as one: scans, snapshots, comparisons."""
