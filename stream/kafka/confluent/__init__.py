"""The faster Kafka client, an extra: confluent-kafka (librdkafka), to consume."""
