"""What every process does: handle signals, log, report errors in one line."""

import _thread
import ctypes
import importlib.util
import logging
import os
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import click

from freshet.config import PACKAGE_ERRORS, Config, ConfigError, load_config
from freshet.logs.lines import JsonLines, TextLines
from freshet.logs.printable import printable
from freshet.logs.runbook import heading_of_error
from freshet.logs.settings import LogSettings
from stream.errors import described

logger = logging.getLogger(__name__)

LIFELINE_VARIABLE = "FRESHET_LIFELINE"
LIFELINE_RELEASE = b"."

EXTRAS: Mapping[str, tuple[str, ...]] = {
    "stream": ("cramjam", "crc32c", "fsspec", "kafka", "lz4", "rocksdict", "zstandard"),
    "confluent": ("confluent_kafka",),
    "registry": ("attrs", "authlib", "cachetools", "certifi", "fastavro", "httpx2"),
    "model": ("annoy", "bm25s", "torch", "torch_geometric"),
    "pgvector": ("psycopg",),
    "client": ("freshet_client", "grpc"),
    "otel": ("opentelemetry",),
    "server": ("annoy", "google.rpc", "grpc", "grpc_health", "grpc_reflection", "h11"),
}
"""The modules that each extra of the installation brings."""

# Exit codes as shells and click use them; 130 is 128 + SIGINT.
_EXIT_FAILED = 1
_EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
_EXIT_BROKEN_PIPE = 1
# Open files that a process allows itself; no store is known that needs more. Twice as
# many would do no harm but to programs that it starts and that walk over all numbers.
_MOST_FILES = 65_536
# A tenth of Python's own: with 40 swaps one after the other one call in a hundred took
# 6 to 14 ms where it was 22 to 24, and none cost more. Twice as long: twice the wait.
_TURN_SECONDS = 0.0005
# Blocks of memory of so many bytes have pages of their own. As glibc has it by itself,
# the largest block that was ever freed so says (up to 32 MB), and what a generation
# leaves behind stays: 15 MB of 100,000 items. Four times as large leave 4 MB of it; an
# eighth would have page faults for what a call allocates.
_PAGED_BYTES = 1 << 18
_M_MMAP_THRESHOLD = -3  # of malloc.h
_LIFELINE_GRACE_SECONDS = 15.0
"""How long a process whose parent died may take to end by itself: longer than a batch,
or than the ten seconds that the demo grants. Twice as much would leave an orphan that
hangs in the way of the next demo for as long.
"""


class CommandError(Exception):
    """A command failed for a reason that its message explains.

    The message says what, where and what to do.
    """

    def __init__(self, message: str, *, exit_code: int = _EXIT_FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def _known_errors() -> tuple[type[Exception], ...]:
    """Return the roots of the error trees whose messages are for operators.

    A package that is not imported, such as the optional client, cannot have raised.
    """
    client = sys.modules.get("freshet_client")
    return (CommandError, OSError, *PACKAGE_ERRORS, *([client.ClientError] if client else []))


def missing_module(
    error: ModuleNotFoundError, command: str = "", extras: tuple[str, ...] = ()
) -> CommandError:
    """Return the error that names what to install: the extras that are missing, and no
    other.

    Args:
        error: what the import raised.
        command: the command that is not able to run, such as ``freshet tune``; empty:
            not known.
        extras: what the command needs.
    """
    name = str(error.name)
    brought_by = [
        each
        for each, modules in EXTRAS.items()
        if any(f"{name}.".startswith(f"{module}.") for module in modules)
    ]
    missing = [extra for extra in extras if not _is_installed(extra)]
    if not brought_by:
        advice = "install Freshet again: pip install --force-reinstall freshet"
    elif command and missing:
        advice = f"install what `{command}` needs: pip install 'freshet[{','.join(missing)}]'"
    else:
        advice = f"install the extra that brings it: pip install 'freshet[{brought_by[0]}]'"
    return CommandError(f"this installation has no {name}; {advice}")


def _is_installed(extra: str) -> bool:
    try:
        return all(importlib.util.find_spec(module) is not None for module in EXTRAS[extra])
    except ModuleNotFoundError:
        return False


def run(command: click.Command, arguments: list[str] | None = None) -> int:
    """Run a click command and return the exit code.

    Whatever goes wrong becomes one line on stderr.
    """
    debug = "--debug" in (sys.argv[1:] if arguments is None else arguments)
    follow_lifeline()
    try:
        outcome = command.main(args=arguments, prog_name="freshet", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        _silence_stdout()
        return _EXIT_BROKEN_PIPE
    except (KeyboardInterrupt, click.Abort):
        return EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001  # the one place where an error may no longer travel upward
        if debug:
            traceback.print_exc()
        line, exit_code = describe_error(error)
        _tell_error(line, error)
        return exit_code
    return outcome if isinstance(outcome, int) else 0


def describe_error(error: Exception) -> tuple[str, int]:
    """Return the one line that explains an error, and the exit code."""
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx else "freshet"
        said = " ".join(error.format_message().split())
        return f"{said.rstrip('.')} (see {path} --help)", _EXIT_USAGE
    if isinstance(error, click.ClickException):
        return error.format_message(), error.exit_code
    if isinstance(error, ConfigError):
        return described(error), _EXIT_USAGE
    if isinstance(error, ModuleNotFoundError):
        return str(missing_module(error)), _EXIT_FAILED
    if isinstance(error, _known_errors()):
        return described(error), getattr(error, "exit_code", _EXIT_FAILED)
    detail = f"unexpected {type(error).__name__}: {described(error)}"
    return f"{detail}; `freshet --debug ...` shows the traceback", _EXIT_FAILED


def _tell_error(line: str, error: Exception) -> None:
    """Say in one line why the command ends, as its log lines are written."""
    if not any(isinstance(each.formatter, JsonLines) for each in logging.getLogger().handlers):
        click.echo(f"freshet: error: {printable(line)}", err=True)
        return
    heading = {"heading": heading_of_error(error)}
    logger.error("ended type=%s error=%s", type(error).__name__, line, extra=heading)


@contextmanager
def stop_event() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM, SIGINT and SIGHUP set.

    A second SIGINT ends the process immediately. A terminal that closes sends SIGHUP;
    ``nohup`` has it ignored, and so it stays.
    """
    stop = threading.Event()

    def ask_to_stop(number: int, _frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            os._exit(EXIT_INTERRUPTED)
        # Not set here: the code that is interrupted may hold the event's lock, and
        # would wait for itself.
        _thread.start_new_thread(stop.set, ())

    numbers = (signal.SIGTERM, signal.SIGINT, *_hangup())
    previous = {number: signal.signal(number, ask_to_stop) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM, and SIGHUP unless ignored, unwind the program as Ctrl-C does."""

    def unwind(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    previous = {number: signal.signal(number, unwind) for number in (signal.SIGTERM, *_hangup())}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def signals_ignored() -> Iterator[None]:
    """Let nothing interrupt the clearing up."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    previous = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def follow_lifeline() -> None:
    """Stop this process when the one that started it is gone.

    The parent passes the reading end of a pipe and names it in ``FRESHET_LIFELINE``.
    The end of the pipe means that the parent died, however it died; a byte means that
    this process may outlive it.
    """
    text = os.environ.pop(LIFELINE_VARIABLE, "")
    if text.isdigit():
        threading.Thread(
            target=_await_parent, args=(int(text),), name="lifeline", daemon=True
        ).start()


def begin(config_file: Path | None, *, log_level: str = "WARNING") -> Config:
    """Read the settings and set up logging: how a command begins.

    Args:
        config_file: a TOML file, or None.
        log_level: unless the settings name another.

    Raises:
        ConfigError: a setting is wrong.
    """
    config = load_config(config_file, os.environ)
    configure_logging(config.log(), default=log_level)
    raise_file_limit()
    return config


def take_short_turns() -> None:
    """Let a thread of this process keep Python's lock for half a millisecond, if
    another wants it: a call waits for it some ten times, while a generation is loaded
    beside it for up to as long each time.
    """
    sys.setswitchinterval(_TURN_SECONDS)


def return_memory() -> None:
    """Have large blocks of memory go back to the system when this process frees them,
    however many it has freed before; with another library than glibc nothing changes.
    """
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _PAGED_BYTES)


def raise_file_limit() -> None:
    """Allow this process as many open files as it may give itself: a store with many
    shards holds many, and the usual limit is that of programs that wait with select(2).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < highest:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))


def configure_logging(settings: LogSettings, *, default: str) -> None:
    """Log to stderr as the settings say.

    Args:
        settings: what, and how.
        default: the level where the settings name none.
    """
    level = (settings.level or default).upper()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if settings.format == "json" else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("torch").setLevel(max(logging.WARNING, root.level))
    # It logs its own retries as errors with tracebacks; what an operator needs is in
    # stream/sources/topics/contact.py.
    logging.getLogger("kafka").setLevel(logging.DEBUG if level == "DEBUG" else logging.CRITICAL)


def _hangup() -> tuple[signal.Signals, ...]:
    """Return SIGHUP, unless whoever started this process has it ignored."""
    is_ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return () if is_ignored else (signal.SIGHUP,)


def _await_parent(descriptor: int) -> None:
    released = os.read(descriptor, 1) == LIFELINE_RELEASE
    os.close(descriptor)
    if released:
        return
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(_LIFELINE_GRACE_SECONDS)
    os._exit(_EXIT_FAILED)


def _silence_stdout() -> None:
    """Point stdout at nothing, so that the flush at exit does not complain about the
    closed pipe.
    """
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, sys.stdout.fileno())
    os.close(sink)
