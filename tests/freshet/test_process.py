"""Tests of what every process does alike."""

import os
import platform
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from freshet import process, serve_worker
from freshet.commands.services import serve as serve_command
from freshet.config import ConfigError
from freshet.process import CommandError, describe_error, raise_file_limit
from stream.errors import StoreMissing
from tests.freshet.conftest import ROOT, Until


def failing(error: Exception) -> click.Command:
    """Return a command that fails."""

    @click.command()
    @click.option("--debug", is_flag=True)
    def command(*, debug: bool) -> None:
        del debug
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "line", "code"),
    [
        (CommandError("no"), "no", 1),
        (CommandError("stopped", exit_code=130), "stopped", 130),
        (ConfigError("wrong key"), "wrong key", 2),
        (StoreMissing("there is no store\nat x"), "there is no store at x", 1),
        (
            FileNotFoundError(2, "No such file or directory", "a/b"),
            "a/b: No such file or directory",
            1,
        ),
        (ModuleNotFoundError("no", name="torch"), "no torch; install", 1),
        (click.UsageError("No such option: --x."), "No such option: --x (see freshet --help)", 2),
        (
            ZeroDivisionError("division by zero"),
            "unexpected ZeroDivisionError: division by zero; `freshet --debug ...` shows",
            1,
        ),
    ],
)
def test_every_error_is_one_line_and_a_code(
    error: Exception, line: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever goes wrong, an operator reads one line, and a script sees a code that is
    not 0.
    """
    assert process.run(failing(error), []) == code

    said = capsys.readouterr().err
    assert said.startswith("freshet: error: ")
    assert said.count("\n") == 1
    assert line in said
    assert describe_error(error)[1] == code


def test_debug_shows_the_traceback_before_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever mends the program gets to see where it broke."""
    process.run(failing(ZeroDivisionError("x")), ["--debug"])

    said = capsys.readouterr().err
    assert "Traceback" in said
    assert said.splitlines()[-1].startswith("freshet: error: ")


def test_ctrl_c_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody who stops a command knows that they did."""
    assert process.run(failing(KeyboardInterrupt()), []) == 130  # type: ignore[arg-type]  # no Exception
    assert capsys.readouterr().err.strip() == ""


def test_a_closed_pipe_is_quiet(tmp_path: Path) -> None:
    """`freshet config | head -1` ends without a word."""
    outcome = subprocess.run(
        f"{sys.executable} -m freshet config | head -1",
        shell=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert outcome.stdout.startswith("key")
    assert outcome.stderr == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_ask_to_stop(number: signal.Signals) -> None:
    """The first signal sets the event; afterwards the handlers are what they were."""
    given = signal.signal(number, signal.SIG_DFL)  # which a nohup of the tests would ignore
    try:
        with process.stop_event() as stop:
            assert not stop.is_set()
            os.kill(os.getpid(), number)
            assert stop.wait(60)

        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, given)


@pytest.mark.parametrize("handling", [process.stop_event, process.ended_by_signals])
def test_nohup_is_heeded(handling: Callable[[], AbstractContextManager[object]]) -> None:
    """Whoever starts a process so that it outlives the terminal wants that."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with handling():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_while_the_event_is_looked_at_does_not_hang() -> None:
    """A handler interrupts code that holds the event's lock, and must
    not wait for it.
    """
    code = (
        "import os, signal\n"
        "from freshet.process import stop_event\n"
        "with stop_event() as stop:\n"
        "    with stop._cond:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    assert stop.wait(600)\n"
    )

    assert (
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=120, check=False).returncode
        == 0
    )


@pytest.mark.parametrize("service", ["stream", "tune", "serve"])
def test_sigterm_ends_a_service_that_is_still_starting(service: str) -> None:
    """An orchestrator takes every other exit code for a failure; nothing
    has begun that must be finished.
    """
    code = (
        "import os, signal, sys, threading\n"
        "from importlib.abc import MetaPathFinder\n"
        "class Slow(MetaPathFinder):\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'freshet.process':\n"
        "            os.kill(os.getpid(), signal.SIGTERM)\n"
        "            threading.Event().wait(600)\n"
        "sys.meta_path.insert(0, Slow())\n"
        f"sys.argv = ['freshet', '--debug', {service!r}]\n"
        "from freshet.__main__ import main\n"
        "main()\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=120, check=False)

    assert ended.returncode == 0


@pytest.mark.parametrize(
    ("command", "cores", "asked", "threads"),
    [
        ("serve", 4, None, "1"),
        ("train", 4, None, "3"),
        ("tune", 1, None, "1"),
        ("tune", 4, "2", "2"),
        ("evaluate", 4, None, "None"),
    ],
)
def test_matrix_products_leave_a_core_to_others(
    command: str, cores: int, asked: str | None, threads: str
) -> None:
    """Unless whoever starts a process says otherwise."""
    code = (
        "import atexit, os, sys\n"
        f"os.sched_getaffinity = lambda _: set(range({cores}))\n"
        "atexit.register(lambda: print(os.environ.get('OPENBLAS_NUM_THREADS')))\n"
        f"sys.argv = ['freshet', {command!r}, '--help']\n"
        "from freshet.__main__ import main\n"
        "main()\n"
    )
    environment = {name: value for name, value in os.environ.items() if "OPENBLAS" not in name}
    environment |= {"OPENBLAS_NUM_THREADS": asked} if asked else {}

    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    assert ended.stdout.splitlines()[-1] == threads


def test_a_second_ctrl_c_ends_the_process_at_once() -> None:
    """Somebody who cannot wait for the batch to finish does not have to."""
    code = (
        "import os, signal, threading\n"
        "from freshet.process import stop_event\n"
        "with stop_event() as stop:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    stop.wait()\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    threading.Event().wait(600)\n"
    )

    assert (
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=120, check=False).returncode
        == 130
    )


def _orphan(read_end: int) -> "subprocess.Popen[bytes]":
    code = "import threading\nfrom freshet.process import follow_lifeline\n"
    code += "follow_lifeline()\nthreading.Event().wait(60)\n"
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "FRESHET_LIFELINE": str(read_end)},
        pass_fds=(read_end,),
    )


def test_a_child_ends_when_its_parent_is_gone() -> None:
    """The end of the lifeline, however it came about, is SIGTERM."""
    read_end, write_end = os.pipe()
    child = _orphan(read_end)
    os.close(read_end)
    os.close(write_end)

    assert child.wait(120) == -signal.SIGTERM


def test_a_released_child_outlives_its_parent(eventually: Until) -> None:
    """A byte in the lifeline sets it free."""
    read_end, write_end = os.pipe()
    child = _orphan(read_end)
    os.write(write_end, process.LIFELINE_RELEASE)
    os.close(write_end)
    eventually(lambda: not os.path.lexists(f"/proc/{child.pid}/fd/{read_end}"))
    os.close(read_end)

    assert child.poll() is None
    child.kill()
    child.wait()


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("FRESHET_LOG_LEVEL", "loud", r"LOUD.*known: DEBUG"),
        ("FRESHET_LOG_FORMAT", "xml", r"'xml'; known: text, json"),
        ("FRESHET_LOG_COLOUR", "red", r"unknown environment variable FRESHET_LOG_COLOUR"),
    ],
)
def test_what_is_logged_is_checked(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
) -> None:
    """A level or a form that does not exist is a wrong setting."""
    monkeypatch.setenv(variable, value)

    with pytest.raises(ConfigError, match=words):
        process.begin(None)


def test_file_limit_is_raised_as_far_as_it_may_be() -> None:
    """The soft limit of open files goes up to the hard one, and never down."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 500), hard))
    try:
        raise_file_limit()
        raised, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert raised == (65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536))
        raise_file_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == raised
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_processes_that_serve_take_short_turns_and_return_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The command, and each of its workers."""
    turns: list[float] = []
    returns: list[str] = []

    def enough(*_: object, **__: object) -> None:
        raise CommandError("enough")

    monkeypatch.setattr(sys, "setswitchinterval", turns.append)
    monkeypatch.setattr(serve_command, "begin", enough)
    monkeypatch.setattr(serve_command, "return_memory", lambda: returns.append("command"))
    monkeypatch.setattr(serve_worker, "return_memory", lambda: returns.append("worker"))
    monkeypatch.setattr(serve_worker, "run_worker", enough)
    monkeypatch.setattr(serve_worker, "configure_logging", lambda *_, **__: None)
    monkeypatch.setattr(sys, "argv", ["worker", "text", "INFO", "", "0"])

    CliRunner().invoke(serve_command.serve, ["--artifacts", str(tmp_path)])
    with pytest.raises(CommandError):
        serve_worker.main()

    assert turns == [0.0005, 0.0005]
    assert returns == ["command", "worker"]


_FREES_LARGE_BLOCKS = """
from pathlib import Path
from freshet.process import return_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

if {returns}:
    return_memory()
block = b"x" * (8 << 20)
del block  # by itself glibc has blocks of this size among the small ones from now on
kept = []
for _ in range(10):
    kept += [b"x" * (8 << 20), b"y" * 100_000]
before = resident()
del kept[::2]
print(before - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that is told")
@pytest.mark.parametrize("returns", [True, False])
def test_large_blocks_go_back_to_the_system(*, returns: bool) -> None:
    """Also once one of their size was freed, and with small ones between them."""
    done = subprocess.run(
        [sys.executable, "-c", _FREES_LARGE_BLOCKS.format(returns=returns)],
        check=True,
        capture_output=True,
        text=True,
    )

    is_returned = int(done.stdout) > 70 << 20
    assert is_returned is returns


def test_an_error_is_printable(capsys: pytest.CaptureFixture[str]) -> None:
    """It may have what a server or a file said."""
    process.run(failing(CommandError("a\x1b[31mb\x9b31m\u202ec")), [])

    assert capsys.readouterr().err == "freshet: error: a\ufffd[31mb\ufffd31m\ufffdc\n"
