"""A rolling restart while what `CURRENT` names is bad."""

from collections.abc import Iterator
from itertools import cycle

from grpc_health.v1 import health_pb2

from server.listening.readiness import NEWEST_HEALTH
from testing.retrieval_server import RunningServer, Serve, check_health
from testing.small_generations import NOW_MS, Artifacts, make_catalogue


def generations_asked(servers: Iterator[RunningServer], times: int) -> set[tuple[str, str]]:
    """Ask servers in turn; return which generations answered, and which were
    refused.
    """
    found = set()
    for _ in range(times):
        with next(servers).client() as client:
            receipt = client.retrieve("lamp").receipt
        found.add((receipt.generation, receipt.refused_generation))
    return found


def test_a_rolling_restart_during_a_bad_publish_loses_no_request(
    artifacts: Artifacts, serve: Serve
) -> None:
    """Each server that starts anew answers from the generation before the bad one, and
    says so in receipt, health and metric.
    """
    good = artifacts.publish(make_catalogue(30, ["lamp"]))
    first, second = serve(), serve()
    bad = make_catalogue(31, ["lamp"])
    bad.created_ms = NOW_MS + 1000
    bad_id = artifacts.write(bad)
    artifacts.damage(bad_id)
    artifacts.use(bad_id)

    first.server.stop(grace_seconds=0)
    assert {id_ for id_, _ in generations_asked(cycle([second]), 4)} == {good}
    first = serve()
    second.server.stop(grace_seconds=0)
    assert generations_asked(cycle([first]), 4) == {(good, bad_id)}
    second = serve()
    assert generations_asked(cycle([first, second]), 4) == {(good, bad_id)}

    assert check_health(second.address) == health_pb2.HealthCheckResponse.SERVING
    assert check_health(second.address, NEWEST_HEALTH) == health_pb2.HealthCheckResponse.NOT_SERVING
    assert second.metric("freshet_server_newest_refused") == 1
