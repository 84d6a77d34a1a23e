"""What may write a shard: apply, erase, remove, fold."""
