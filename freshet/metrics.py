"""Serves the metrics of a process to Prometheus, and says which it is."""

import errno
import logging
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import metadata
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector

from freshet.metrics_port import listening
from freshet.metrics_settings import MetricsSettings
from freshet.process import CommandError
from server.listening.addresses import split_address

logger = logging.getLogger(__name__)

UNPROTECTED = MetricsSettings()
"""Of a port that everybody may read who reaches it."""


def name_process(registry: CollectorRegistry, process: str) -> None:
    """Let a registry say which process it is of, and what that takes of its machine.

    Whoever scrapes an address then notices that another program answers there.

    Args:
        registry: what the process serves.
        process: stream, tuner, refresher, server, probe or sink.
    """
    Gauge(
        "freshet_build_info",
        "1 at the name of the process that answers here, and its version",
        ["process", "version"],
        registry=registry,
    ).labels(process, metadata.version("freshet")).set(1)
    ProcessCollector(registry=registry)


def watch_disks(registry: CollectorRegistry, folders: Mapping[str, Path]) -> None:
    """Let a registry say at each scrape how full the disks are that a process needs,
    and whether it may write there.

    Args:
        registry: what the process serves.
        folders: by what they are: store, artifacts. One that is not there yet counts as
            the nearest that is, above it.
    """
    free = Gauge(
        "freshet_disk_free_bytes",
        "What this process may still write where a folder is, by what the folder is",
        ["folder"],
        registry=registry,
    )
    size = Gauge("freshet_disk_size_bytes", "Size of the disk there", ["folder"], registry=registry)
    writable = Gauge(
        "freshet_disk_writable",
        "1: this process may write to a folder; 0: it is read-only, or another user's",
        ["folder"],
        registry=registry,
    )
    for name, folder in folders.items():
        free.labels(name).set_function(partial(_disk, folder, is_free=True))
        size.labels(name).set_function(partial(_disk, folder, is_free=False))
        writable.labels(name).set_function(partial(_is_writable, folder))


def _disk(folder: Path, *, is_free: bool) -> float:
    for place in _from_below(folder):
        try:
            found = os.statvfs(place)
        except OSError:
            continue
        return float(found.f_frsize * (found.f_bavail if is_free else found.f_blocks))
    return math.nan


def _is_writable(folder: Path) -> float:
    place = next((each for each in _from_below(folder) if each.exists()), folder)
    return float(os.access(place, os.W_OK))


def _from_below(folder: Path) -> Iterator[Path]:
    yield from (folder, *folder.absolute().parents)


@contextmanager
def metrics_endpoint(
    given: str | None,
    registry: CollectorRegistry,
    *,
    default: str = "",
    settings: MetricsSettings = UNPROTECTED,
) -> Iterator[None]:
    """Serve the registry at ``HOST:PORT/metrics`` while inside.

    Args:
        given: the address that the user gave.
        registry: what is served.
        default: the address where the user gave none, if it is free; empty: then
            nothing is served.
        settings: what protects it.

    Raises:
        CommandError: the given address cannot be bound.
        SettingsInvalid: a certificate or a token file cannot be used.
    """
    address = given or default
    if not address:
        yield
        return
    host, port = split_address(address)
    with ExitStack() as stack:
        try:
            bound = stack.enter_context(listening((host, port), registry, settings))
        except OSError as error:
            if given:
                raise CommandError(_cannot_bind(address, error)) from error
            logger.warning("no metrics reason=%s", _cannot_bind(address, error))
        else:
            logger.info("metrics served address=%s:%d", host, bound)
        yield


def _cannot_bind(address: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"metrics address {address} is taken by another process; give another with --metrics"
    return (
        f"metrics cannot be served at {address}: {error.strerror or error}; give another with "
        "--metrics"
    )
