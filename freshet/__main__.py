"""The entry point of the `freshet` command.

``python -m freshet`` does the same, but imports from the folder that it is typed in:
beside a user's own server.py only `freshet` works.
"""

import os
import signal
import sys
import warnings
from types import FrameType

from freshet.commands.table import SERVICES
from freshet.streams import settle_streams

_ONE_THREAD_COMMANDS = ("serve", "refresh")
"""Commands whose matrix products are small: threads that wait for each other there cost
ten times the CPU of one (20,000 vectors, two cores), while other requests wait.
"""

_SPARE_THREADS_COMMANDS = ("train", "tune")
"""Commands whose matrix products have all cores but one, as those of torch have: with
one thread more a training of a small shop takes half as much CPU again (two cores).
"""


def main() -> None:
    """Run the command line and exit with its code."""
    settle_streams()
    if any(entry.name in sys.argv[1:] for entry in SERVICES.entries):
        signal.signal(signal.SIGTERM, _leave)
    # Before NumPy is loaded, which reads it then.
    if any(name in sys.argv[1:] for name in _ONE_THREAD_COMMANDS):
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    elif any(name in sys.argv[1:] for name in _SPARE_THREADS_COMMANDS):
        spare = max(1, len(os.sched_getaffinity(0)) - 1)
        os.environ.setdefault("OPENBLAS_NUM_THREADS", str(spare))
    from freshet import process  # noqa: PLC0415  # takes up to a second to import
    from freshet.commands.cli import cli  # noqa: PLC0415  # as above

    if not sys.warnoptions:
        # What libraries warn their developers of is noise to an operator; -W brings it
        # back.
        warnings.simplefilter("ignore")
    # Python processes that we start, those of multiprocessing among them, must not
    # import a server.py or random.py that happens to lie in the user's folder.
    os.environ["PYTHONSAFEPATH"] = "1"
    sys.exit(process.run(cli))


def _leave(_number: int, _frame: FrameType | None) -> None:
    """End a service that is still starting: orchestrators stop those, too, and take
    every exit code but 0 for a failure.
    """
    raise SystemExit(0)


if __name__ == "__main__":
    main()
