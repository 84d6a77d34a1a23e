"""What the model is compared with: rankers without our network."""
