"""The Kafka client that is always there, to consume: kafka-python."""
