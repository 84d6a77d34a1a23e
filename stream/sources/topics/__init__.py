"""Topics of Kafka as a source: one member of a consumer group."""
