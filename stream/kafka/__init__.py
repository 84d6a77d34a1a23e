"""Every touch of a Kafka client library."""
