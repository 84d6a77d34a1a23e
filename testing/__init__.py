"""What tests and benches share.

The oracle, the laws, the in-memory RocksDB, process helpers.
"""
