"""The settings of what is sent by OTLP."""

from dataclasses import dataclass
from urllib.parse import urlsplit

# A collector takes thousands of spans a second, and a record makes five, with its share
# of others. Twice as many would be no more use to whoever looks at some.
_MOST_TRACED = 1000.0


@dataclass(frozen=True, kw_only=True)
class TelemetrySettings:
    """What is sent by OTLP, and where to.

    Raises:
        ValueError: a value cannot work.
    """

    otlp_endpoint: str = ""
    """Where spans and metrics are sent by OTLP over gRPC: `http://HOST:PORT`, or https
    with TLS; needs the extra `otel`. Empty: where `OTEL_EXPORTER_OTLP_ENDPOINT` says;
    nothing is sent where that is empty, too.
    """

    traced_per_second: float = 5.0
    """Most records a second whose `traceparent` a stream follows to the first answer
    that knows them; others are applied like any. Twice as many: twice the spans.
    """

    metrics_every_seconds: float = 15.0
    """Time between two sendings of all metrics, as Prometheus would scrape them."""

    def __post_init__(self) -> None:
        if self.otlp_endpoint:
            parts = urlsplit(self.otlp_endpoint)
            if parts.scheme not in {"http", "https"} or not parts.hostname:
                raise ValueError(
                    f"otlp_endpoint is {self.otlp_endpoint!r}; it must be http://HOST:PORT or "
                    "https://HOST:PORT"
                )
        if not 0 < self.traced_per_second <= _MOST_TRACED:
            raise ValueError(
                f"traced_per_second is {self.traced_per_second}; it must be more than 0 and at "
                f"most {_MOST_TRACED:g}"
            )
        if self.metrics_every_seconds < 1:
            raise ValueError(
                f"metrics_every_seconds is {self.metrics_every_seconds}; it must be 1 or more"
            )
