"""The server's Prometheus metrics, a file for what they are of."""
