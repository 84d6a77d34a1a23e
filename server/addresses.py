"""How an address is written: HOST:PORT."""

from server.errors import SettingsInvalid

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
