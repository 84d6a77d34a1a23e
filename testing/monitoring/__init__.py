"""A real Prometheus and Alertmanager with the rules as they are shipped."""
