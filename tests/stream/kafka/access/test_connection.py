"""What is said of a broker that does not answer."""

import socket
from collections.abc import Callable

from stream.kafka.access.connection import what_listens


def test_a_broker_that_is_down_is_told_from_one_that_is_frozen(
    free_port: Callable[[], int],
) -> None:
    """A frozen one accepts connections, by its kernel; of several one is enough."""
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        there = f"127.0.0.1:{frozen.getsockname()[1]}"
        nobody = f"127.0.0.1:{free_port()}"

        assert what_listens(nobody) == f"{nobody}: Connection refused"
        assert what_listens(f"{nobody},{there}") == (
            f"{there} accepts connections and does not answer"
        )
    assert "no-such-host.invalid:9092: " in what_listens("no-such-host.invalid:9092")
