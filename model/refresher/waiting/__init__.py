"""What was read of the feed and waits for a round of the refresher."""
