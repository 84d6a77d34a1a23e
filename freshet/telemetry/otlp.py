"""Spans by OpenTelemetry, sent by OTLP over gRPC."""

import logging
import os
import socket
from collections.abc import Sequence
from importlib import metadata

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import CollectorRegistry

from freshet.telemetry.otlp_metrics import MetricsSender
from freshet.telemetry.settings import TelemetrySettings
from stream.traces.context import TraceContext
from stream.traces.tracer import Attributes, Fan, Stage

# Milliseconds until a span is sent. Twice as many: seen that much later.
_SEND_EVERY_MS = 1000
_NS = 1_000_000  # of a millisecond


class Otlp:
    """Records spans and sends metrics until it is closed.

    Args:
        settings: where to, and how much.
        process: whose they are.
        registry: the metrics that are sent; None: spans alone are.
    """

    def __init__(
        self, settings: TelemetrySettings, process: str, registry: CollectorRegistry | None
    ) -> None:
        # It logs each failed sending and its retries: once is enough, and at WARNING.
        logging.getLogger("opentelemetry").setLevel(logging.ERROR)
        # What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say counts more.
        resource = Resource.create(
            {
                "service.namespace": "freshet",
                "service.name": os.environ.get("OTEL_SERVICE_NAME") or f"freshet-{process}",
                "service.version": metadata.version("freshet"),
                "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
            }
        )
        # None: what OpenTelemetry's own variables say.
        endpoint = settings.otlp_endpoint or None
        insecure = endpoint.startswith("http://") if endpoint else None
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(
            BatchSpanProcessor(
                OTLPSpanExporter(endpoint=endpoint, insecure=insecure),
                schedule_delay_millis=_SEND_EVERY_MS,
            )
        )
        self._tracer = self._provider.get_tracer("freshet", metadata.version("freshet"))
        self._metrics = None
        if registry is not None:
            self._metrics = MetricsSender(
                OTLPMetricExporter(endpoint=endpoint, insecure=insecure),
                registry,
                resource,
                settings.metrics_every_seconds,
            )

    def stage(
        self,
        stage: Stage,
        parent: TraceContext,
        begin_ms: int,
        end_ms: int,
        link: TraceContext | None = None,
        attributes: Attributes | None = None,
    ) -> None:
        """Record that a record took a step; see `stream.traces.tracer.Tracer`."""
        kind = trace.SpanKind.CONSUMER if stage is Stage.CONSUME else trace.SpanKind.INTERNAL
        span = self._tracer.start_span(
            stage,
            context=trace.set_span_in_context(trace.NonRecordingSpan(_remote(parent))),
            kind=kind,
            links=[] if link is None else [trace.Link(_remote(link))],
            attributes=attributes,
            start_time=begin_ms * _NS,
        )
        span.end(max(end_ms, begin_ms) * _NS)

    def fan(
        self,
        fan: Fan,
        members: Sequence[TraceContext],
        begin_ms: int,
        end_ms: int,
        attributes: Attributes | None = None,
    ) -> TraceContext | None:
        """Record what took many records a step further; see
        `stream.traces.tracer.Tracer`.
        """
        span = self._tracer.start_span(
            fan,
            context=trace.set_span_in_context(trace.INVALID_SPAN),
            links=[trace.Link(_remote(member)) for member in members],
            attributes=attributes,
            start_time=begin_ms * _NS,
        )
        span.end(max(end_ms, begin_ms) * _NS)
        made = span.get_span_context()
        if not made.trace_flags.sampled:
            return None
        return TraceContext(
            trace.format_trace_id(made.trace_id), trace.format_span_id(made.span_id)
        )

    def close(self) -> None:
        """Send what is left, and end."""
        if self._metrics is not None:
            self._metrics.close()
        self._provider.shutdown()


def _remote(context: TraceContext) -> trace.SpanContext:
    return trace.SpanContext(
        trace_id=int(context.trace_id, 16),
        span_id=int(context.span_id, 16),
        is_remote=True,
        trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
    )
