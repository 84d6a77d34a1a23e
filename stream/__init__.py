"""Kafka or files in, graph out: the only writer of RocksDB."""
