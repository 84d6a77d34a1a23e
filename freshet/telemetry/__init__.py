"""Spans and metrics by OTLP, for whoever has OpenTelemetry: off by default."""
