"""A database that another process may be writing: opened to be read, or copied."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from rocksdict import AccessType, Options, Rdict

from stream.errors import StoreError, StoreUnreadable
from stream.shard.rocksdb.errors import store_error

# Tries; with the pause below over a second, far longer than a flush takes.
_OPEN_ATTEMPTS = 100
# Seconds between two tries, so that a writer can finish its flush.
_OPEN_RETRY_SECONDS = 0.01
_READ_ONLY = AccessType.read_only(error_if_log_file_exist=False)


def open_linked(path: Path, links: Path, find: Callable[[], Path]) -> Rdict:
    """Open a database read-only as it is now, through links.

    RocksDB reads first which data files there are, then the logs. A log that the writer
    turns into a data file between the two would be missed without a word: no file may
    be gone afterwards that was there before, or it is opened again.

    Args:
        path: the folder to name in errors.
        links: an empty folder.
        find: returns the folder of the database, which may be another at each attempt.

    Raises:
        StoreUnreadable: it is damaged, or rewritten faster than it can be opened.
    """
    for attempt in range(1, _OPEN_ATTEMPTS + 1):
        folder = find()
        before = _file_names(folder)
        try:
            rdict = _open_once(folder, links / str(attempt))
        except Exception as error:
            if attempt == _OPEN_ATTEMPTS:
                raise store_error(path, error) from error
        else:
            if before <= _file_names(folder):
                return rdict
            rdict.close()
        time.sleep(_OPEN_RETRY_SECONDS)
    raise StoreUnreadable(f"store {path} is rewritten faster than it can be opened; try again")


def holds_database(path: Path) -> bool:
    """Return whether there is a database; False where its first write is still to come.

    Raises:
        StoreUnreadable: there was one, and its table of contents is gone.
    """
    if (path / "CURRENT").exists():
        return True
    if any(path.glob("*.sst")):
        raise StoreUnreadable(
            f"store {path} has data files but no CURRENT; restore a backup (`freshet restore`), "
            "or build it again"
        )
    return False


def copy_while_written(source: Path, target: Path) -> None:
    """Copy a database into a folder, while another process may write it.

    Nothing where there is none.

    Data files are linked: they never change. The table of contents and the logs grow,
    so they are copied: the table first, then the logs from the newest back, because a
    log that has a successor is complete. As in `open_linked`, no file
    may be gone afterwards that was there before.

    Raises:
        StoreUnreadable: it is damaged, or rewritten faster than it can be copied.
        OSError: the disk refused.
    """
    if not holds_database(source):
        return
    kept = set(target.iterdir())
    for attempt in range(1, _OPEN_ATTEMPTS + 1):
        before = _file_names(source)
        try:
            _copy_files(source, target)
            _check_copy(target)
        except FileNotFoundError:
            pass  # deleted meanwhile
        except StoreError:
            if attempt == _OPEN_ATTEMPTS:
                raise
        else:
            if before <= _file_names(source):
                return
        for path in set(target.iterdir()) - kept:
            path.unlink()
        time.sleep(_OPEN_RETRY_SECONDS)
    raise StoreUnreadable(f"store {source} is rewritten faster than it can be copied; try again")


def _open_once(path: Path, links: Path) -> Rdict:
    """Open a database read-only through copies of its table of contents and links to
    its data and logs.
    """
    links.mkdir()
    current = (path / "CURRENT").read_bytes()
    contents_name = current.decode("ascii").strip()
    (links / "CURRENT").write_bytes(current)
    shutil.copyfile(path / contents_name, links / contents_name)
    for name in _file_names(path):
        (links / name).symlink_to(path.absolute() / name)
    options = Options(raw_mode=True)
    options.set_max_open_files(-1)
    return Rdict(str(links), options, access_type=_READ_ONLY)


def _copy_files(source: Path, target: Path) -> None:
    current = (source / "CURRENT").read_bytes()
    contents_name = current.decode("ascii").strip()
    shutil.copyfile(source / contents_name, target / contents_name)
    (target / "CURRENT").write_bytes(current)
    names = _file_names(source)
    for name in names:
        if name.endswith(".sst"):
            os.link(source / name, target / name)
    for name in sorted(
        (name for name in names if name.endswith(".log")), key=_file_number, reverse=True
    ):
        shutil.copyfile(source / name, target / name)


def _check_copy(path: Path) -> None:
    """Open a copy once, and drop the links to data files that its table of contents
    does not know yet.
    """
    try:
        rdict = Rdict(str(path), Options(raw_mode=True), access_type=_READ_ONLY)
        known = {file["name"].lstrip("/") for file in rdict.live_files()}
        rdict.close()
    except Exception as error:
        raise store_error(path, error) from error
    for file in path.glob("*.sst"):
        if file.name not in known:
            file.unlink()


def _file_number(name: str) -> int:
    return int(name.partition(".")[0])


def _file_names(path: Path) -> set[str]:
    """Return the names of data files and logs; none where the folder is gone."""
    try:
        return {file.name for file in path.iterdir() if file.suffix in {".sst", ".log"}}
    except FileNotFoundError:
        return set()
