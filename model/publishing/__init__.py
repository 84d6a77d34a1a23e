"""Judge a trained model, write it as a generation, make it current."""
