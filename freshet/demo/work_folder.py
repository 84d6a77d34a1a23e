"""The demo's work folder: what is in it, who uses it, whether it can be continued."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from shutil import rmtree

from freshet.process import CommandError
from stream.files import replace_file

_STATE = "demo.json"
_LOCK = "demo.lock"
_HEAD_BYTES = 4096
"""Bytes at the beginning of a log that identify it: two dozen events. A log that grows
keeps its beginning.
"""
_FORMAT = 2  # of demo.json; a folder of another one is emptied


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a demo is about; a folder of another recipe is emptied first.

    Attributes:
        seed: which shop is simulated; 0 with an own log.
        shop_items: its products.
        shop_events: its history.
        events: path and fingerprint of an own log; empty: the simulated shop.
        items: the same for its catalogue.
    """

    seed: int = 0
    shop_items: int = 0
    shop_events: int = 0
    events: str = ""
    items: str = ""
    format: int = _FORMAT


@dataclass(kw_only=True)
class WorkFolderState:
    """What the folder remembers from run to run.

    Attributes:
        recipe: what the demo was about.
        num_launches: products launched so far.
        pids: the processes that `--keep` left running, by name.
    """

    recipe: Recipe
    num_launches: int = 0
    pids: Mapping[str, int] = field(default_factory=dict)


class WorkFolder:
    """Paths and state of one work folder that is ours alone; see `open_work_folder`."""

    def __init__(self, root: Path, lock: int, state: WorkFolderState) -> None:
        self.root = root
        self.lock = lock
        self.state = state
        self.shop = root / "shop"
        self.store = root / "store"
        self.artifacts = root / "artifacts"
        self.logs = root / "logs"

    def save(self) -> None:
        """Write the state.

        Raises:
            OSError: it cannot be written.
        """
        replace_file(self.root / _STATE, json.dumps(asdict(self.state), indent=2).encode())


@contextmanager
def open_work_folder(root: Path, recipe: Recipe) -> Iterator[WorkFolder]:
    """Yield the folder, locked; what another recipe left in it is removed first.

    Raises:
        CommandError: another demo runs there, or the folder holds something else.
        OSError: it cannot be written.
    """
    _refuse_foreign(root)
    root.mkdir(parents=True, exist_ok=True)
    lock = os.open(root / _LOCK, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        if not _try_lock(lock):
            raise CommandError(
                f"a demo is running in {root}; end it with `freshet demo --stop --dir {root}`, "
                "or give another --dir"
            )
        state = _read_state(root)
        if state is None or state.recipe != recipe:
            _empty(root)
            state = WorkFolderState(recipe=recipe)
        state.pids = {}
        folder = WorkFolder(root, lock, state)
        folder.save()
        for each in (folder.store, folder.artifacts, folder.logs):
            each.mkdir(exist_ok=True)
        yield folder
    finally:
        os.close(lock)


def running_pids(root: Path) -> Mapping[str, int]:
    """Return the processes that an earlier demo left running in a folder."""
    state = _read_state(root)
    if state is None or not (root / _LOCK).exists():
        return {}
    lock = os.open(root / _LOCK, os.O_RDWR)
    try:
        return {} if _try_lock(lock) else state.pids
    finally:
        os.close(lock)


def fingerprint(path: Path | None) -> str:
    """Return what identifies a log: its path and a hash of its beginning; empty for
    None.

    Raises:
        CommandError: it cannot be read.
    """
    if path is None:
        return ""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from None
    return f"{path.absolute()}#{blake2b(head, digest_size=8).hexdigest()}"


def _refuse_foreign(root: Path) -> None:
    if root.exists() and not root.is_dir():
        raise CommandError(f"{root} is not a folder; give another --dir")
    ours = {_STATE, _LOCK}
    names = {path.name for path in root.iterdir()} if root.exists() else set()
    if names and not names & ours:
        raise CommandError(
            f"{root} holds something that is not a demo's; give another --dir, or an empty one"
        )


def _read_state(root: Path) -> WorkFolderState | None:
    try:
        stored = json.loads((root / _STATE).read_text(encoding="utf-8"))
        return WorkFolderState(
            recipe=Recipe(**stored["recipe"]),
            num_launches=stored["num_launches"],
            pids=stored["pids"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _empty(root: Path) -> None:
    for path in root.iterdir():
        if path.name == _LOCK:
            continue
        if path.is_dir():
            rmtree(path)
        else:
            path.unlink()


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
