"""Graph in, embeddings and indexes out: the only package that imports torch."""
