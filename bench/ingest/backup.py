"""What a backup of the grown store costs, and its restore beside copying the files."""

import os
import shutil
import time
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

from bench.ingest.workbench import Workbench
from stream.backup.create import NewBackup, create_backup
from stream.backup.repository import Backups
from stream.backup.restore import restored_store
from stream.clock import now_ms
from stream.files import sync_tree
from stream.settings import StreamSettings

_TURNS = 3  # restores and copies, in turn; the best of each counts, since others use the machine


def measure_backup(bench: Workbench) -> None:
    """Back the grown store up twice, then restore it and copy its files in turn, both
    until all is forced to disk.
    """
    store, settings = bench.grown(), StreamSettings()
    backups = Backups(str(bench.folder / "backups"))

    def back_up() -> NewBackup:
        return create_backup(backups, store, settings, now_ms)

    first = _seconds(back_up)
    again = _seconds(back_up)
    backup = backups.newest()
    megabytes = backup.num_bytes / 1e6
    bench.add("first backup", first, "s", note=f"{megabytes:,.0f} MB, read, hashed and copied")
    bench.add("backup with nothing new", again, "s", note="all of the store is read")

    def restore(target: Path) -> None:
        with restored_store(backups, backup, target, settings, now_ms()):
            pass

    def copy(target: Path) -> None:
        shutil.copytree(store, target)
        sync_tree(target)

    seconds: dict[str, list[float]] = {}
    for turn, act in product(range(_TURNS), (restore, copy)):
        target = bench.store(f"{act.__name__} {turn}")
        seconds.setdefault(act.__name__, []).append(_seconds(partial(act, target)))
        shutil.rmtree(target)
    restores, copies = seconds["restore"], seconds["copy"]
    bench.add("copying its files", min(copies), "s", note=f"cp and fsync; best of {_TURNS}")
    bench.add("restore", min(restores), "s", note=f"best of {_TURNS}; every byte verified")
    bench.add("restore beside copying", min(restores) / min(copies), "x", target="< 2")


def _seconds(act: Callable[[], object]) -> float:
    os.sync()
    began = time.monotonic()
    act()
    return time.monotonic() - began
