"""`ListGenerations`: what is on disk, and what the server makes of it."""

import pytest

from freshet_client import GenerationInfo, GenerationState, QueryRefused, RetrievalClient
from model.artifact.store import Pin
from testing.retrieval_server import RunningServer, Serve, wait_until
from testing.small_generations import NOW_MS, Artifacts, make_catalogue


def by_id(client: RetrievalClient) -> dict[str, GenerationInfo]:
    """Return the listed generations by their id."""
    return {each.generation_id: each for each in client.list_generations().generations}


def test_each_generation_has_its_state_and_figures(artifacts: Artifacts, serve: Serve) -> None:
    """Newest first: the live one, an idle one that the gate refused, one whose manifest
    is broken, and one that `CURRENT` names and the server refuses.
    """
    made = [make_catalogue(30 + n, ["lamp"], seed=n) for n in range(4)]
    for n, catalogue in enumerate(made):
        catalogue.created_ms = NOW_MS + 1000 * n
    made[0].passed_gate = False
    ids = [artifacts.write(catalogue) for catalogue in made]
    idle, live, broken, refused = ids
    artifacts.use(live)
    (artifacts.store.generation_path(broken) / "manifest.json").write_text("{")
    artifacts.damage(refused)
    artifacts.store.set_pin(Pin(generation_id=live, since_ms=NOW_MS))
    server = serve()
    artifacts.use(refused)
    wait_until(lambda: server.metric("freshet_server_newest_refused") == 1, "it is refused")

    with server.client() as client:
        result = client.list_generations()
        newest = client.list_generations(1)
        with pytest.raises(QueryRefused, match="from 1 to 100"):
            client.list_generations(101)

    assert [each.generation_id for each in result.generations] == [refused, broken, live, idle]
    found = {each.generation_id: each for each in result.generations}
    assert found[live].state is GenerationState.LIVE
    assert (found[live].num_items, found[live].num_queries, found[live].num_indexed) == (31, 1, 31)
    assert found[live].created_ms == NOW_MS + 1000
    assert (found[live].watermark_ms, found[live].snapshot_ms) == (NOW_MS - 60_000, NOW_MS - 30_000)
    assert found[live].gate_passed
    assert (found[idle].state, found[idle].gate_passed) == (GenerationState.IDLE, False)
    assert found[broken].state is GenerationState.UNREADABLE
    assert "manifest.json is not a generation manifest" in found[broken].reason
    assert found[refused].state is GenerationState.REFUSED
    assert "sha256" in found[refused].reason
    assert (result.current, result.pinned, result.pinned_since_ms) == (refused, live, NOW_MS)
    assert [each.generation_id for each in newest.generations] == [refused]


def test_states_follow_the_swap(artifacts: Artifacts, serve: Serve) -> None:
    """What was live is idle after the next; nothing is pinned."""
    first = artifacts.publish(make_catalogue(30, ["lamp"]))
    server = serve()
    with server.client() as client:
        assert by_id(client)[first].state is GenerationState.LIVE
        later = make_catalogue(30, ["lamp"], seed=1)
        later.created_ms = NOW_MS + 1000
        second = artifacts.publish(later)
        wait_until(lambda: is_live(server, second), "the second is live")

        found = by_id(client)
        assert (found[first].state, found[second].state) == (
            GenerationState.IDLE,
            GenerationState.LIVE,
        )
        assert client.list_generations().pinned == ""


def test_an_empty_folder_has_none(serve: Serve) -> None:
    """Which is no error, also before a generation is live."""
    with serve().client() as client:
        result = client.list_generations()

    assert (result.generations, result.current) == ((), "")


def is_live(server: RunningServer, generation_id: str) -> bool:
    """Whether the metrics name a generation as the live one."""
    return server.metric("freshet_server_generation_info", generation=generation_id) == 1
