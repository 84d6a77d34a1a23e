"""Serves the metrics of a process to Prometheus, over HTTP, and says which it is."""

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, start_http_server

from freshet.process import CommandError
from server.addresses import split_address

logger = logging.getLogger(__name__)


def name_process(registry: CollectorRegistry, process: str) -> None:
    """Let a registry say which process it is of, and what that takes of its machine.

    Whoever scrapes an address then notices that another program answers there.

    Args:
        registry: what the process serves.
        process: stream, tuner, refresher or server.
    """
    Gauge(
        "freshet_build_info",
        "1 at the name of the process that answers here, and its version",
        ["process", "version"],
        registry=registry,
    ).labels(process, metadata.version("freshet")).set(1)
    ProcessCollector(registry=registry)


@contextmanager
def metrics_endpoint(
    given: str | None, registry: CollectorRegistry, *, default: str = ""
) -> Iterator[None]:
    """Serve the registry at ``http://HOST:PORT/metrics`` while inside.

    Args:
        given: the address that the user gave.
        registry: what is served.
        default: the address where the user gave none, if it is free; empty: then
            nothing is served.

    Raises:
        CommandError: the given address cannot be bound.
    """
    address = given or default
    if not address:
        yield
        return
    host, port = split_address(address)
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        if given:
            raise CommandError(_cannot_bind(address, error)) from error
        logger.warning("no metrics reason=%s", _cannot_bind(address, error))
        yield
        return
    logger.info("metrics served address=%s:%d", host, server.server_port)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _cannot_bind(address: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"metrics address {address} is taken by another process; give another with --metrics"
    return (
        f"metrics cannot be served at {address}: {error.strerror or error}; give another with "
        "--metrics"
    )
