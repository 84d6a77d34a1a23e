"""Facts, users and names taken out of a shard, by one write."""
