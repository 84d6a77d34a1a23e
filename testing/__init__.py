"""What tests and benches share: the oracle, the laws, the in-memory RocksDB, process helpers."""
