"""Tests of `freshet status`."""

import json

from freshet.probe import Addresses
from tests.freshet.conftest import Command


def test_the_screen_shows_all_of_them(addresses: Addresses, run: Command) -> None:
    """One screen for people, the same as JSON for scripts, and a code that says whether
    all is well.
    """
    at = ["--stream", addresses.stream, "--tuner", addresses.tuner]
    at += ["--server", addresses.server, "--target", addresses.target]
    at += ["--refresher", addresses.refresher]

    screen, as_json = run("status", *at), run("status", *at, "--json")

    assert screen.returncode == as_json.returncode == 1
    for part in (
        "4 things are wrong; there are no answers yet",
        "stream     WARN",
        "tuner      WARN",
        "the last run failed: GateRefused",
        "next: the live generation stays",
        "(FreshetTunerFailing)",
        "refresher  DOWN",
        "the folder is full; free space",
        "server     DOWN",
        "last failure reason   GateRefused",
        "15 min",
        "no generation is live yet",
        "shards without owner  0",
    ):
        assert part in screen.stdout
    assert json.loads(as_json.stdout)["tuner"]["facts"]["last_failure_reason"] == "GateRefused"
