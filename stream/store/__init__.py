"""The folder of shards, and who has which: ownership, checkpoints, uploads."""
