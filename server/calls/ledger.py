"""What callers have left of their limits: kept by one process, or shared by several."""

import fcntl
import mmap
import os
import struct
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from threading import Lock
from typing import Final, Protocol

# Callers whose limits are kept, some 200 bytes each. Twice as many: twice the memory.
_MOST_CALLERS: Final = 4096
# Callers of a bucket of the shared table, of which there are twice as many places as
# callers that are kept. Twice as many are compared with at each call.
_BUCKET: Final = 8
_HEAD: Final = struct.Struct("<Qdd")  # hash of the name, allowance, when that was
_OPEN: Final = struct.Struct("<i")  # calls that a caller has open at one worker
_NO_CALLER: Final = 0  # no hash


@dataclass(slots=True)
class Account:
    """What is known of one caller.

    Attributes:
        allowance: calls that it may make at once.
        at: when that was.
        num_open: calls that it has open.
    """

    allowance: float
    at: float
    num_open: int = 0  # none yet


class Ledger(Protocol):
    """Keeps the accounts of callers; the one that was away for longest is forgotten
    where there are too many.
    """

    def account(self, name: str, new: Account) -> AbstractContextManager[Account]:
        """Yield the account of a caller, which nobody else reads or changes meanwhile.

        Args:
            name: of the caller.
            new: of one that is not known.
        """


class LocalLedger:
    """The accounts of one process; see `Ledger`."""

    def __init__(self) -> None:
        self._accounts: OrderedDict[str, Account] = OrderedDict()
        self._lock = Lock()

    @contextmanager
    def account(self, name: str, new: Account) -> Iterator[Account]:
        """See `Ledger`."""
        with self._lock:
            account = self._accounts.setdefault(name, new)
            self._accounts.move_to_end(name)
            if len(self._accounts) > _MOST_CALLERS:
                self._accounts.popitem(last=False)
            yield account


class SharedLedger:
    """Accounts in memory that several processes share; see `Ledger`.

    Buckets of places, each locked by whoever changes it; the lock of a process that
    dies is the system's to take back. A place has the calls that are open at each
    process, so that those of one that died are forgotten when it comes again.

    Args:
        descriptor: of what `shared_memory` made; the caller's to close.
        number: of this process, from 0.
        processes: how many there are.
    """

    def __init__(self, descriptor: int, number: int, processes: int) -> None:
        self._descriptor = os.dup(descriptor)
        self._number = number
        self._processes = processes
        self._place_bytes = _place_bytes(processes)
        self._memory = mmap.mmap(self._descriptor, 0)
        self._lock = Lock()
        for place in range(len(self._memory) // self._place_bytes):
            _OPEN.pack_into(self._memory, self._own_open(place), 0)

    @contextmanager
    def account(self, name: str, new: Account) -> Iterator[Account]:
        """See `Ledger`."""
        key = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little") or 1
        num_buckets = len(self._memory) // (self._place_bytes * _BUCKET)
        first = key % num_buckets * _BUCKET
        where = (self._place_bytes * _BUCKET, first * self._place_bytes)
        with self._lock:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX, *where)
            try:
                place, account = self._found(key, range(first, first + _BUCKET), new)
                before = account.num_open
                yield account
                self._store(place, key, account, account.num_open - before)
            finally:
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN, *where)

    def _found(self, key: int, places: range, new: Account) -> tuple[int, Account]:
        """Return the place of a caller and what it has; of one that is not known, one
        that is free or was not looked at for longest, and `new`.
        """
        last_seen = {}
        for place in places:
            known, allowance, at = _HEAD.unpack_from(self._memory, place * self._place_bytes)
            if known == key:
                num_open = max(0, sum(self._open(place, each) for each in range(self._processes)))
                return place, Account(allowance, at, num_open)
            last_seen[place] = at if known != _NO_CALLER else float("-inf")
        place = min(places, key=last_seen.__getitem__)
        start = place * self._place_bytes
        self._memory[start : start + self._place_bytes] = bytes(self._place_bytes)
        return place, new

    def _store(self, place: int, key: int, account: Account, more_open: int) -> None:
        _HEAD.pack_into(self._memory, place * self._place_bytes, key, account.allowance, account.at)
        # Below 0 where its place was another's meanwhile: then they are forgotten.
        own = max(0, self._open(place, self._number) + more_open)
        _OPEN.pack_into(self._memory, self._own_open(place), own)

    def _open(self, place: int, process: int) -> int:
        start = place * self._place_bytes + _HEAD.size + process * _OPEN.size
        found: int = _OPEN.unpack_from(self._memory, start)[0]
        return found

    def _own_open(self, place: int) -> int:
        return place * self._place_bytes + _HEAD.size + self._number * _OPEN.size


def shared_memory(processes: int) -> int:
    """Return the descriptor of new memory for a `SharedLedger` (Linux)."""
    descriptor = os.memfd_create("callers", os.MFD_CLOEXEC)
    os.truncate(descriptor, 2 * _MOST_CALLERS * _place_bytes(processes))
    return descriptor


def _place_bytes(processes: int) -> int:
    return _HEAD.size + processes * _OPEN.size
