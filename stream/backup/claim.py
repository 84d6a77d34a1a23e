"""One process at a time makes and prunes backups at a URL.

Whoever begins puts a claim there, renews it, and looks for others: of two that begin at
once at least one sees the other, and whoever sees one gives way.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import msgspec

from stream.backup.files import BackupFiles
from stream.clock import now_ms
from stream.errors import PARSE_ERRORS, BackupBusy, BackupDamaged, BackupsUnavailable

logger = logging.getLogger(__name__)

_FOLDER = "running"
# Seconds between two renewals of a claim; each is a request. Twice as many: half of
# them, and a claim comes nearer to being taken for a dead one's.
_RENEW_SECONDS = 15.0
# Milliseconds without a renewal after which a claim is a dead process's: eight
# renewals, so that a slow place or clocks a minute apart do no harm. Twice as many:
# twice as long until the next backup after a machine that died.
_STALE_MS = 120_000
# Tries to be the only one, with a pause of a random part of a second between them: two
# that began at once and gave way to each other. One more halves the chance that neither
# goes on.
_TRIES = 3


class _Claim(msgspec.Struct, frozen=True, kw_only=True):
    """The file of a claim.

    Attributes:
        host: of the process.
        machine: tells which process ids are of this kernel and namespace.
        process: its id.
        since_ms: when it began.
        renewed_ms: when it last said that it is alive.
    """

    host: str
    machine: str
    process: int
    since_ms: int
    renewed_ms: int

    @property
    def is_dead(self) -> bool:
        """Whether its process is known to be gone, or has not spoken for too long."""
        if now_ms() - self.renewed_ms > _STALE_MS:
            return True
        return self.machine == _machine() and not Path("/proc", str(self.process)).exists()


class Claim:
    """The right to change what is at a URL, while it is held.

    Args:
        objects: what is at the URL.
    """

    def __init__(self, objects: BackupFiles) -> None:
        self._objects = objects
        self._name = f"{_FOLDER}/{uuid4().hex}.json"
        self._since_ms = now_ms()
        self._ended = threading.Event()

    def check(self) -> None:
        """Check, before what is there is changed, that nobody took this process for
        dead.

        Raises:
            BackupBusy: somebody did; do nothing more.
            BackupsUnavailable: the URL cannot be reached.
        """
        if self._name.rpartition("/")[2] not in self._objects.sizes(_FOLDER):
            raise BackupBusy(
                f"this process stood still for so long that another one went on with the backups "
                f"at {self._objects.url}; do it again"
            )

    def take(self) -> None:
        """Put the claim there, unless another process has one.

        Raises:
            BackupBusy: another has.
            BackupsUnavailable: the URL cannot be reached or written.
        """
        for number in range(1, _TRIES + 1):
            self.renew()
            other = self._other()
            if other is None:
                return
            self.release()
            if number == _TRIES:
                raise BackupBusy(
                    f"another process (pid {other.process} on {other.host}) has been at work on "
                    f"the backups at {self._objects.url} for "
                    f"{max(now_ms() - other.since_ms, 0) / 1000:.0f} s; wait for its end (where "
                    "its machine died, two minutes), then do it again"
                )
            time.sleep(int.from_bytes(os.urandom(1)) / 256)

    def renew(self) -> None:
        """Say that this process is alive."""
        content = _Claim(
            host=socket.gethostname(),
            machine=_machine(),
            process=os.getpid(),
            since_ms=self._since_ms,
            renewed_ms=now_ms(),
        )
        self._objects.write(self._name, msgspec.json.encode(content))

    def keep(self) -> None:
        """Renew the claim until `end`."""
        while not self._ended.wait(_RENEW_SECONDS):
            try:
                self.check()
                self.renew()
            except BackupBusy:
                return  # whoever changes something finds out by itself
            except BackupsUnavailable as error:
                logger.warning("claim not renewed url=%s error=%s", self._objects.url, error)

    def end(self) -> None:
        """Renew it no more."""
        self._ended.set()

    def release(self) -> None:
        """Take the claim away."""
        self._objects.remove(self._name)

    def _other(self) -> _Claim | None:
        """Return another process's claim; those of dead ones are removed."""
        for name in self._objects.sizes(_FOLDER):
            path = f"{_FOLDER}/{name}"
            if path == self._name:
                continue
            try:
                claim = msgspec.json.decode(self._objects.read(path), type=_Claim)
            except BackupDamaged:
                continue  # released meanwhile
            except PARSE_ERRORS:
                logger.warning("claim unreadable, and removed url=%s", self._objects.url)
                self._objects.remove(path)
                continue
            if not claim.is_dead:
                return claim
            logger.info("claim of a dead process removed pid=%d", claim.process)
            self._objects.remove(path)
        return None


@contextmanager
def claimed(objects: BackupFiles) -> Iterator[Claim]:
    """Yield a claim, renewed beside the work and taken away afterwards.

    Raises:
        BackupBusy: another process is at work there.
        BackupsUnavailable: the URL cannot be reached or written.
    """
    claim = Claim(objects)
    claim.take()
    keeper = threading.Thread(target=claim.keep, name="backup-claim", daemon=True)
    keeper.start()
    try:
        yield claim
    finally:
        claim.end()
        keeper.join()
        with suppress(BackupsUnavailable):  # one that stays is a dead process's soon
            claim.release()


def _machine() -> str:
    """Return what tells this kernel, since it started, and this namespace of process
    ids from others.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}:{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return uuid4().hex  # no Linux: only its silence tells that a process is dead
