"""Addresses to listen on: how one is written, and whether it is free."""

import errno
import socket
from typing import Any

from server.errors import ListenFailed, PortBusy, SettingsInvalid

_MAX_PORT = 65_535  # the largest number of a TCP port


def split_address(address: str, name: str = "address") -> tuple[str, int]:
    """Split ``HOST:PORT`` (``[HOST]:PORT`` for IPv6) into host and port.

    Raises:
        SettingsInvalid: it is not of that form; the message calls it `name`.
    """
    host, colon, port = address.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    bracketed = bare != host
    valid_port = port.isascii() and port.isdigit() and int(port) <= _MAX_PORT
    if not colon or not bare or not valid_port or (":" in bare and not bracketed):
        raise SettingsInvalid(
            f"{name} is {address!r}; it must be HOST:PORT, such as 127.0.0.1:50051"
        )
    return bare, int(port)


def check_can_listen(host: str, port: int) -> None:
    """Try each address that `host` stands for.

    gRPC succeeds if it can bind one of several addresses, and hides the failures of the
    others.

    Raises:
        PortBusy: something listens on one of them.
        ListenFailed: none of them can be listened on; the message says why.
    """
    where = f"{host}:{port}"
    found = _stands_for(host, port)
    failures = [failure for family, address in found if (failure := _bind_failure(family, address))]
    if any(failure.errno == errno.EADDRINUSE for failure in failures):
        raise PortBusy(
            f"cannot listen on {where}: something else does; stop it, or choose another port"
        )
    if len(failures) == len(found):
        raise ListenFailed(
            f"cannot listen on {where}: {failures[0].strerror}; choose another address"
        )


def reserve_shared(host: str, port: int) -> list[socket.socket]:
    """Return sockets that keep each address that `host` stands for to this user's
    processes that share it (``SO_REUSEPORT``); they listen on none.

    Args:
        host: a name or an address.
        port: 0: any that is free, the same for all.

    Raises:
        ListenFailed: one cannot be had.
    """
    sockets: list[socket.socket] = []
    try:
        for family, address in _stands_for(host, port):
            sockets.append(socket.socket(family, socket.SOCK_STREAM))
            _open_for_sharing(sockets[-1], family)
            taken = sockets[0].getsockname()[1] if len(sockets) > 1 else port
            sockets[-1].bind((address[0], taken, *address[2:]))
    except OSError as error:
        for each in sockets:
            each.close()
        raise ListenFailed(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return sockets


def _open_for_sharing(made: socket.socket, family: int) -> None:
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)


def _stands_for(host: str, port: int) -> list[tuple[int, tuple[Any, ...]]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ListenFailed(
            f"cannot listen on {host}:{port}: {error.strerror}; is {host} a name of this machine?"
        ) from error
    return [(family, address) for family, _, _, _, address in found]


def _bind_failure(family: int, address: tuple[object, ...]) -> OSError | None:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind(address)
    except OSError as error:
        return error
    return None
