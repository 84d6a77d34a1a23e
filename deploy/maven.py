"""Fetches what a POM names with Maven, once, into a folder that git ignores."""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path


class MissingToolError(Exception):
    """Java or Maven is not on this machine.

    Not retriable: install what the message names.
    """


class FetchError(Exception):
    """Maven could not fetch what was asked for.

    Retriable when the network is back; the message has Maven's reason.
    """


def fetched(pom: Path, goal: str, cache: Path, told: str) -> Path:
    """Return the folder with what a POM depends on, fetching it the first time.

    Maven checks what it fetches against the registry's checksums, and the POM pins the
    versions; another POM is another folder.

    Args:
        pom: names it.
        goal: of Maven's plugin for dependencies, such as ``copy-dependencies``.
        cache: where the folder is.
        told: what is being fetched, for the one line that says so.

    Raises:
        MissingToolError: there is no Maven.
        FetchError: Maven failed.
    """
    folder = cache / f"lib-{hashlib.sha256(pom.read_bytes()).hexdigest()[:12]}"
    if not folder.is_dir():
        _fetch(pom, goal, folder, told)
    return folder


def fetch_command(name: str, fetch: Callable[[], object]) -> int:
    """Make sure that something is there; return the exit status.

    Prints one line when it cannot be had.
    """
    try:
        fetch()
    except (MissingToolError, FetchError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    return 0


def _fetch(pom: Path, goal: str, folder: Path, told: str) -> None:
    """Put the files aside and rename, so that an interrupted fetch leaves nothing that
    looks complete.
    """
    maven = shutil.which("mvn")
    if maven is None:
        raise MissingToolError("no mvn found: apt-get install default-jre-headless maven")
    print(f"{told} (once)", file=sys.stderr, flush=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        into, unpacked = Path(scratch) / "lib", Path(scratch) / "unpacked"
        command = [maven, "-q", "-B", "-f", str(pom), f"dependency:{goal}"]
        # Of what it has unpacked it leaves a mark beside the POM, and does not again.
        command += ["-DincludeScope=runtime", f"-DmarkersDirectory={unpacked}"]
        done = subprocess.run(
            [*command, f"-DoutputDirectory={into}"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise FetchError(f"mvn failed ({told}):\n" + "\n".join(done.stdout.splitlines()[-8:]))
        try:
            into.rename(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another run has just fetched it
                raise
