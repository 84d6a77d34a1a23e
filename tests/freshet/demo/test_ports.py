"""Tests of the demo's ports."""

from freshet.demo.ports import free_ports


def test_ports_are_free_and_different() -> None:
    """A wanted port that is taken is replaced by another."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = taken.getsockname()[1]
        ports = free_ports((busy, 0, 0))

    assert busy not in ports
    assert len(set(ports)) == 3
