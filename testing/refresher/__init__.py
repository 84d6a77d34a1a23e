"""What a refresher works with, in memory."""
