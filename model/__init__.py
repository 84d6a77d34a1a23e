"""Graph in, embeddings and indexes out: the only room that imports torch."""
