"""Faults of files: the store, the artifacts folder, a generation."""

import shutil
from collections.abc import Callable
from pathlib import Path

from bench.faults.stack import Stack, make_read_only, unmount

_MARGIN_BYTES = 1 << 20  # that is left of a full disk

Repair = Callable[[], None]


def read_only_artifacts(stack: Stack) -> Repair:
    """The artifacts folder takes nothing."""
    make_read_only(stack.system.artifacts)
    return lambda: unmount(stack.system.artifacts)


def full_disk(stack: Stack) -> Repair:
    """Something else fills the disk of the store."""
    ballast = stack.system.store.parent / "ballast"
    free = shutil.disk_usage(ballast.parent).free
    with ballast.open("wb") as file:
        for _ in range(max(0, free - _MARGIN_BYTES) >> 20):
            file.write(bytes(1 << 20))

    def repair() -> None:
        ballast.unlink()
        stack.mend()

    return repair


def flip_sst(stack: Stack) -> Repair:
    """Bytes of the store's files change on the disk, and the tuner reads them all."""
    stack.system.stop("stream")  # which flushes, so that there are files
    stack.restart("stream")
    stack.system.until(stack.system.is_caught_up, "the stream goes on")
    for path in sorted(stack.system.store.glob("shard-*/**/*.sst")):
        _flip(path)
    stack.restart("tuner")
    return lambda: None


def corrupt_generation(stack: Stack) -> Repair:
    """A copy that broke off is made the current generation."""
    artifacts = stack.system.artifacts
    stack.system.stop("tuner")  # which would put a good one there meanwhile
    pointer = artifacts / "CURRENT"
    good = pointer.read_text("utf-8").strip()
    (source,) = (
        path
        for path in artifacts.rglob(good)
        if path.is_dir() and path.name == good and (path / "manifest.json").exists()
    )
    wrong = source.with_name(f"{good[:-6]}ffffff")
    shutil.copytree(source, wrong)
    manifest = wrong / "manifest.json"
    manifest.write_text(manifest.read_text("utf-8").replace(good, wrong.name), "utf-8")
    _flip(next(wrong.glob("item_vectors*")))
    pointer.write_text(f"{wrong.name}\n", "utf-8")

    def repair() -> None:
        pointer.write_text(f"{good}\n", "utf-8")
        shutil.rmtree(wrong)
        stack.restart("tuner")

    return repair


def _flip(path: Path) -> None:
    """Change a byte in every four thousand: wherever is read, something is wrong."""
    data = bytearray(path.read_bytes())
    for place in range(min(64, len(data) // 2), len(data), 4096):
        data[place] ^= 0xFF
    path.write_bytes(data)
