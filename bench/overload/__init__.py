"""A server under more calls than it can answer, and beside clients that mean harm."""
