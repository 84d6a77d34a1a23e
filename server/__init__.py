"""Embeddings in, answers out: imports neither torch nor rocksdict."""
