"""A real OTLP receiver over gRPC, which remembers the spans and metrics that it got."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_grpc


@dataclass(frozen=True, kw_only=True)
class ReceivedSpan:
    """A span as it came; ids in hexadecimal, times in nanoseconds since 1970."""

    name: str
    service: str
    trace_id: str
    span_id: str
    parent_id: str
    begin_ns: int
    end_ns: int
    links: tuple[str, ...]


@dataclass
class OtlpReceiver:
    """What was received so far.

    Attributes:
        address: HOST:PORT that it listens at.
    """

    address: str = ""
    _spans: list[ReceivedSpan] = field(default_factory=list)
    _metrics: dict[tuple[str, str], Any] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def trace(self, trace_id: str) -> list[ReceivedSpan]:
        """Return the spans of a trace, in the order in which they began."""
        with self._lock:
            found = [each for each in self._spans if each.trace_id == trace_id]
        return sorted(found, key=lambda span: (span.begin_ns, span.end_ns))

    def spans(self, name: str) -> list[ReceivedSpan]:
        """Return the spans of a name."""
        with self._lock:
            return [each for each in self._spans if each.name == name]

    def metric(self, service: str, name: str) -> Any:
        """Return a metric as it came last; None: it never did."""
        with self._lock:
            return self._metrics.get((service, name))

    def take_spans(self, request: trace_pb.ExportTraceServiceRequest) -> None:
        """Remember spans."""
        for resource in request.resource_spans:
            service = _service(resource.resource)
            for scope in resource.scope_spans:
                received = [
                    ReceivedSpan(
                        name=span.name,
                        service=service,
                        trace_id=span.trace_id.hex(),
                        span_id=span.span_id.hex(),
                        parent_id=span.parent_span_id.hex(),
                        begin_ns=span.start_time_unix_nano,
                        end_ns=span.end_time_unix_nano,
                        links=tuple(link.trace_id.hex() for link in span.links),
                    )
                    for span in scope.spans
                ]
                with self._lock:
                    self._spans += received

    def take_metrics(self, request: metrics_pb.ExportMetricsServiceRequest) -> None:
        """Remember metrics."""
        for resource in request.resource_metrics:
            service = _service(resource.resource)
            with self._lock:
                for scope in resource.scope_metrics:
                    self._metrics |= {(service, each.name): each for each in scope.metrics}


class _Traces(trace_grpc.TraceServiceServicer):
    def __init__(self, receiver: OtlpReceiver) -> None:
        self._receiver = receiver

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802  # the contract's name
        """Take spans."""
        del context
        self._receiver.take_spans(request)
        return trace_pb.ExportTraceServiceResponse()


class _Metrics(metrics_grpc.MetricsServiceServicer):
    def __init__(self, receiver: OtlpReceiver) -> None:
        self._receiver = receiver

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802  # the contract's name
        """Take metrics."""
        del context
        self._receiver.take_metrics(request)
        return metrics_pb.ExportMetricsServiceResponse()


@contextmanager
def otlp_receiver() -> Iterator[OtlpReceiver]:
    """Yield a receiver on a free port, which ends with the block."""
    receiver = OtlpReceiver()
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    # Generated, without types.
    add_traces: Any = trace_grpc.add_TraceServiceServicer_to_server
    add_metrics: Any = metrics_grpc.add_MetricsServiceServicer_to_server
    add_traces(_Traces(receiver), server)
    add_metrics(_Metrics(receiver), server)
    receiver.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield receiver
    finally:
        server.stop(grace=None).wait()


def _service(resource: Any) -> str:
    found = {each.key: each.value.string_value for each in resource.attributes}
    return str(found.get("service.name", ""))
