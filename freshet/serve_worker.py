"""One of the processes of `freshet serve --workers`: started by it, never by a user."""

import sys
from typing import Final

from freshet.logs.settings import LogSettings
from freshet.process import configure_logging, raise_file_limit, return_memory, take_short_turns
from freshet.telemetry.sending import sending
from freshet.telemetry.settings import TelemetrySettings
from server.workers.worker import run_worker

_PROGRAM: Final = (sys.executable, "-m", "freshet.serve_worker")


def worker_command(log: LogSettings, telemetry: TelemetrySettings) -> tuple[str, ...]:
    """Return what starts a worker that logs so and sends its spans there; the
    descriptors of its channels are added.
    """
    return (*_PROGRAM, log.format, log.level or "INFO", telemetry.otlp_endpoint)


def main() -> None:
    """Be a worker, on the channels that the arguments name."""
    form, level, endpoint, *descriptors = sys.argv[1:]
    configure_logging(LogSettings(format=form, level=level), default=level)
    raise_file_limit()
    take_short_turns()
    return_memory()
    # The process that looks after it sends the metrics of all.
    with sending(TelemetrySettings(otlp_endpoint=endpoint), "server", None) as tracer:
        run_worker(*map(int, descriptors), tracer=tracer)


if __name__ == "__main__":
    main()
