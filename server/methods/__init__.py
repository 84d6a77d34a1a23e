"""What the methods beside Retrieve answer."""
