"""What the fresh lane costs, and how near it comes to a full pass."""
