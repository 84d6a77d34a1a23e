"""One of the processes of `freshet serve --workers`: started by it, never by a user."""

import sys
from typing import Final

from freshet.logs.settings import LogSettings
from freshet.process import configure_logging, raise_file_limit
from server.workers.worker import run_worker

_PROGRAM: Final = (sys.executable, "-m", "freshet.serve_worker")


def worker_command(log: LogSettings) -> tuple[str, ...]:
    """Return what starts a worker that logs so; the descriptors of its channels are
    added.
    """
    return (*_PROGRAM, log.format, log.level or "INFO")


def main() -> None:
    """Be a worker, on the channels that the arguments name."""
    form, level, *descriptors = sys.argv[1:]
    configure_logging(LogSettings(format=form, level=level), default=level)
    raise_file_limit()
    run_worker(*map(int, descriptors))


if __name__ == "__main__":
    main()
