"""Tests of `freshet console` as a process."""

import json
import re
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable

from freshet.probe import Addresses
from tests.freshet.conftest import CONSOLE_SCRIPT, Command, Until


def test_it_says_where_it_is_and_ends_when_told_to(
    addresses: Addresses, free_port: Callable[[], int], eventually: Until
) -> None:
    """The page and what it asks are there; SIGTERM ends it with code 0."""
    at = f"127.0.0.1:{free_port()}"
    where = ["--stream", addresses.stream, "--tuner", addresses.tuner]
    where += ["--server", addresses.server, "--target", addresses.target]
    process = subprocess.Popen(
        [CONSOLE_SCRIPT, "console", "--listen", at, *where, "--refresher", addresses.refresher],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().removeprefix("console: ").strip()
        assert url == f"http://{at}/"
        with urllib.request.urlopen(url) as page:
            scripts = re.findall(r'src="(/[a-z.]+)"', page.read().decode())
        assert "/console.js" in scripts

        def told() -> bool:
            try:
                with urllib.request.urlopen(f"{url}api/overview") as answer:
                    found = json.load(answer)
            except urllib.error.HTTPError:  # it has not looked yet
                return False
            return len(found["processes"]) == 4

        eventually(told)
        process.send_signal(signal.SIGTERM)
        assert process.wait(90) == 0
    finally:
        process.kill()
        process.communicate()


def test_it_does_not_open_itself_to_others_by_accident(run: Command) -> None:
    """Beyond loopback it wants tokens; a busy port and a hurried look are refused."""
    beyond = run("console", "--listen", "0.0.0.0:9106")
    hurried = run("console", "--every", "10ms")

    assert beyond.returncode == 1
    assert "--tokens" in beyond.stderr
    assert hurried.returncode == 2
