"""The vector index, one engine a file."""
