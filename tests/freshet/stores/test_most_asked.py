"""Learning from servers what they are asked most."""

from collections.abc import Callable

from freshet.stores.most_asked import most_asked, total_of
from testing.retrieval_server import Serve, wait_until
from testing.small_generations import Artifacts, make_catalogue


def test_what_servers_are_asked_is_known_and_a_dead_one_counts_nothing(
    artifacts: Artifacts, serve: Serve, free_port: Callable[[], int]
) -> None:
    """Counts of the servers that answer; one that ends is forgotten."""
    artifacts.publish(make_catalogue(20, ["lamp", "chair"]))
    running = serve()
    with running.client() as client:
        for _ in range(3):
            client.retrieve("Lamp")
        client.retrieve("chair")

    with most_asked((running.address, f"127.0.0.1:{free_port()}"), 0.05) as asked:
        wait_until(lambda: dict(asked()) == {"lamp": 3.0, "chair": 1.0}, "the counts are known")
        running.server.stop(grace_seconds=0)
        wait_until(lambda: dict(asked()) == {}, "the server is forgotten")


def test_without_servers_nothing_is_known() -> None:
    """And nobody is asked."""
    with most_asked((), 0.05) as asked:
        assert dict(asked()) == {}


def test_counts_of_several_servers_add_up() -> None:
    """By query."""
    assert total_of([{"a": 1.0, "b": 2.0}, {"b": 3.0}]) == {"a": 1.0, "b": 5.0}
