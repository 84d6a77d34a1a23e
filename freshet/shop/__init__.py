"""A simulated shop, and how its events reach files or Kafka."""
