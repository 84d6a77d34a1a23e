"""Says in words what is wrong where a broker should answer."""

import socket
from typing import Final

# Seconds to connect to one address, while the worker waits; on one network it takes
# milliseconds. Twice as long: the worker waits for twice as long in a look.
_CONNECT_SECONDS = 0.5

NO_TOPIC: Final = "it has no topic"
"""How the words begin where a broker answers, and a topic was deleted."""


def what_listens(bootstrap: str) -> str:
    """Return what becomes of a connection to a broker that does not answer.

    It tells a broker that is down from one that is frozen, which client libraries
    do not.

    Args:
        bootstrap: "host:port", or several with commas.
    """
    failures = []
    for address in bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS):
                return f"{address} accepts connections and does not answer"
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            failures.append(f"{address}: {reason}")
    return "; ".join(failures)
