"""Sends spans and metrics while a process runs, where it is told to."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from prometheus_client import CollectorRegistry

from freshet.telemetry.settings import TelemetrySettings
from stream.traces.tracer import Tracer

logger = logging.getLogger(__name__)

_VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"


@contextmanager
def sending(
    settings: TelemetrySettings,
    process: str,
    registry: CollectorRegistry | None,
    environment: Mapping[str, str] = os.environ,
) -> Iterator[Tracer | None]:
    """Yield what records spans, and send the registry's metrics meanwhile; None:
    nothing is sent, and OpenTelemetry is not loaded.

    Args:
        settings: where to, and how much.
        process: whose they are, as in `freshet.metrics.name_process`.
        registry: the metrics that are sent; None: spans alone are.
        environment: OpenTelemetry's own variables.

    Raises:
        ModuleNotFoundError: the settings name an endpoint, and the extra `otel` is not
            installed.
    """
    named = settings.otlp_endpoint or environment.get(_VARIABLE, "")
    if not named or environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        yield None
        return
    try:
        from freshet.telemetry.otlp import Otlp  # noqa: PLC0415  # an extra, and slow to load
    except ModuleNotFoundError:
        if settings.otlp_endpoint:
            raise
        # The variable may be there for others of this machine.
        logger.warning("nothing_sent reason=%s is set, and there is no OpenTelemetry", _VARIABLE)
        yield None
        return
    otlp = Otlp(settings, process, registry)
    try:
        yield otlp
    finally:
        otlp.close()
