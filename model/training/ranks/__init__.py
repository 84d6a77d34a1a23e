"""Training on several ranks: what they share, and what each does by itself."""
