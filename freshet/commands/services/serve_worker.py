"""One of the processes of `freshet serve --workers`: started by it, never by a user."""

import sys
from typing import Final

from freshet.process import configure_logging, raise_file_limit
from server.workers.worker import run_worker

WORKER_COMMAND: Final = (sys.executable, "-m", "freshet.commands.services.serve_worker")
"""Starts one; the descriptors of its channels are added."""


def main() -> None:
    """Be a worker, on the channels that the arguments name."""
    configure_logging(default="INFO")
    raise_file_limit()
    run_worker(*map(int, sys.argv[1:]))


if __name__ == "__main__":
    main()
