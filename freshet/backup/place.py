"""The backups that a command is given, and how far it is with their bytes."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import click

from freshet.terminal.progress import progress
from stream.backup.repository import Backups, OnBytes
from stream.settings import StreamSettings

_BYTES_A_MEGABYTE = 1_000_000  # bytes; what MB means


def backups_at(url: str | None, settings: StreamSettings) -> Backups:
    """Return the backups at a URL, or at the one of the settings.

    Raises:
        click.UsageError: neither names one.
        SettingsInvalid: the URL cannot be used.
    """
    if not (url or settings.backups_url):
        raise click.UsageError(
            "give the URL of the backups, or set stream.backups_url",
            ctx=click.get_current_context(),
        )
    return Backups(url or settings.backups_url)


@contextmanager
def bytes_progress(title: str, total: int | None) -> Iterator[OnBytes]:
    """Yield a function that takes how many more bytes are done, from any thread.

    Args:
        title: what is done.
        total: bytes in all; None: not known.
    """
    done, lock = 0, Lock()
    megabytes = None if total is None else total / _BYTES_A_MEGABYTE
    with progress(title, "MB") as advance:

        def add(num_bytes: int) -> None:
            nonlocal done
            with lock:
                done += num_bytes
                advance(done / _BYTES_A_MEGABYTE, megabytes)

        yield add
