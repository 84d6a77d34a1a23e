"""The examples in Go and Node, run against a server in this process.

A toolchain that is missing fails them: `.ci/run` installs both.
"""

import os
import subprocess
from pathlib import Path

import pytest

from testing.retrieval_server import Serve, wait_until
from testing.small_generations import Artifacts, make_catalogue

_EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
LANGUAGES = ["node", "go"]
# Go compiles what the program needs of its library once: some 40 s of CPU, on a machine
# that may do much else.
SECONDS = 600.0


def run(command: list[str]) -> "subprocess.CompletedProcess[str]":
    """Run a command; Go fetches no other version of itself."""
    return subprocess.run(
        command,
        env={**os.environ, "GOTOOLCHAIN": "local"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.fixture
def program(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """Return the command of an example, built where its language is compiled."""
    if request.param == "node":
        return ["node", str(_EXAMPLES / "ask.js")]
    built = tmp_path / "ask"
    done = run(["go", "build", "-o", str(built), str(_EXAMPLES / "ask.go")])
    assert done.returncode == 0, done.stderr
    return [str(built)]


@pytest.mark.timeout(2 * SECONDS)
@pytest.mark.parametrize("program", LANGUAGES, indirect=True)
def test_an_example_asks_and_tells_of_errors(
    artifacts: Artifacts, serve: Serve, program: list[str]
) -> None:
    """It prints the hits and the generation, waits for a server that is not ready, and
    ends with the words and the reason of what is refused.
    """
    server = serve(http_address="127.0.0.1:0")
    url = f"http://{server.server.http_address}"
    waited = run([*program, url, "halo 3"])
    catalogue = make_catalogue(30, ["halo 3"])
    generation_id = artifacts.publish(catalogue)
    with server.client() as client:
        client.wait_until_ready()

    told: list[str] = []

    def is_answered() -> bool:
        told[:] = run([*program, url, "halo 3"]).stdout.splitlines()
        return bool(told)

    # A busy machine may take longer than the half second of each of its tries.
    wait_until(is_answered, "an answer in time")
    refused = run([*program, url, ""])

    *hits, last = told
    assert [line.split()[1] for line in hits] == [
        f"{generation_id}/{item}" for item in catalogue.nearest_to_query("halo 3", 5)
    ]
    assert last == f"generation {generation_id}"
    assert (waited.returncode, refused.returncode) == (1, 1)
    assert "unavailable (NO_GENERATION)" in waited.stderr
    assert "invalid_argument (QUERY_REFUSED): the query is empty" in refused.stderr
    tries = server.metric("freshet_server_requests_total", method="Retrieve", code="UNAVAILABLE")
    assert tries == 3
