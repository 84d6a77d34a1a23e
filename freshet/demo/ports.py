"""Which ports the demo's processes listen on."""

import socket
from collections.abc import Sequence
from contextlib import ExitStack

from freshet.probe import Addresses
from freshet.terminal.addresses import (
    REFRESHER_METRICS,
    SERVER_METRICS,
    SERVER_TARGET,
    STREAM_METRICS,
    TUNER_METRICS,
)
from server.listening.addresses import split_address

_DEFAULTS = (STREAM_METRICS, TUNER_METRICS, REFRESHER_METRICS, SERVER_METRICS, SERVER_TARGET)


def choose_addresses(*, default_ports: bool) -> Addresses:
    """Return a loopback address for each process.

    Args:
        default_ports: the ports that the commands assume, if they are free;
            otherwise any.
    """
    usual = [split_address(address)[1] for address in _DEFAULTS]
    ports = free_ports(usual if default_ports else [0] * len(usual))
    stream, tuner, refresher, server, target = (f"127.0.0.1:{port}" for port in ports)
    return Addresses(stream=stream, tuner=tuner, refresher=refresher, server=server, target=target)


def free_ports(wanted: Sequence[int]) -> list[int]:
    """Return different loopback ports on which nothing listens now.

    A wanted port that is taken is replaced by another.
    """
    with ExitStack() as held:
        return [held.enter_context(_hold_port(port)).getsockname()[1] for port in wanted]


def _hold_port(wanted: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", wanted))
    except OSError:
        return socket.create_server(("127.0.0.1", 0))
