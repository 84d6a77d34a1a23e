"""What of an artifacts folder is in a backup, and how commands show their progress."""
