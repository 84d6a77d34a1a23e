"""Workers as containers, with a shell in podman's place: it writes which process is the
container's, and ends as that does.
"""

import signal
import subprocess
from pathlib import Path

from testing.soak.containers import ContainerWorker


def worker(tmp_path: Path, inside: str) -> ContainerWorker:
    """Start what is to run inside."""
    pid_file = tmp_path / "container.pid"
    script = f'{inside} & echo $! > "$1.new"; mv "$1.new" "$1"; wait $!'
    client = subprocess.Popen(["sh", "-c", script, "podman", str(pid_file)])
    return ContainerWorker(client, pid_file)


def test_a_killed_container_ends_as_a_killed_process_does(tmp_path: Path) -> None:
    """The signal hits what runs inside, as soon as it does, not podman itself."""
    container = worker(tmp_path, "sleep 600")

    container.kill()

    assert container.wait(120) == -signal.SIGKILL
    assert container.poll() == container.returncode == -signal.SIGKILL
    container.send_signal(signal.SIGTERM)  # nothing is left that it could hit


def test_a_paused_container_neither_ends_nor_goes_on(tmp_path: Path) -> None:
    """What runs inside is stopped until it is woken up."""
    container = worker(tmp_path, "sleep 600")

    container.send_signal(signal.SIGSTOP)
    inside = Path("/proc", (tmp_path / "container.pid").read_text().strip(), "stat")
    while inside.read_text().split()[2] != "T":
        assert container.poll() is None
    container.send_signal(signal.SIGCONT)
    container.send_signal(signal.SIGTERM)

    assert container.wait(120) == -signal.SIGTERM


def test_an_exit_code_stays_what_it_is(tmp_path: Path) -> None:
    """Of a worker that ended by itself."""
    assert worker(tmp_path, "sh -c 'exit 3'").wait(120) == 3
    assert worker(tmp_path, "true").wait(120) == 0
