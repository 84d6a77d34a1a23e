"""From ranked items to the bytes of a response."""
