"""Grafana dashboards, one a reader: the overview, the stream, the model, the server."""
