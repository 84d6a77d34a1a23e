"""Take a snapshot of a store, resting or live.

A RocksDB checkpoint a shard, and a manifest.

A shard that nobody writes is opened and copied at once. One that a process holds is
asked for through a mailbox, the folder ``STORE/requests``: the requester drops
``<id>.<shard>.request``; the holder, between two batches, makes the checkpoint in
``<id>.<shard>.part`` (hard links) and renames it to ``<id>.<shard>.done``, or writes
its reason to ``<id>.<shard>.failed``. Whoever asked takes the answer.
"""

import errno
import logging
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from stream.errors import (
    SnapshotError,
    SnapshotExists,
    SnapshotRefused,
    SnapshotTimedOut,
    StoreBusy,
    StoreFenced,
    StreamError,
    refusal,
)
from stream.files import new_directory, replace_file
from stream.reading.manifest import (
    SnapshotCounts,
    SnapshotInfo,
    SnapshotShard,
    read_manifest,
    write_manifest,
)
from stream.reading.reader import GraphReader
from stream.settings import StreamSettings
from stream.shard.fencing import acquire_lease, has_database, shard_name
from stream.shard.shard import Shard
from stream.store.store import REQUESTS_NAME, Store, StoreManifest, check_none_is_gone
from stream.store.store import read_manifest as read_store_manifest

__all__ = ["SnapshotInfo", "read_manifest", "serve_requests", "take_snapshot"]

logger = logging.getLogger(__name__)

# Seconds between two looks for an answer: what a snapshot waits too long, at most.
_POLL_SECONDS = 0.02
# Seconds; far longer than any request waits, so that nobody's answer is removed.
_STALE_SECONDS = 3600.0


def take_snapshot(
    store_root: Path, out: Path, settings: StreamSettings, now_ms: int
) -> SnapshotInfo:
    """Take a consistent snapshot of the store at `store_root` into the new folder
    `out`.

    Args:
        store_root: the store's folder; another process may be writing it.
        out: where to; must not exist.
        settings: `snapshot_timeout_seconds` and `action_weights` are used.
        now_ms: the time to put into the manifest.

    Raises:
        StoreMissing: there is no store.
        SnapshotExists: `out` exists.
        SnapshotTimedOut: the process that holds the store did not answer.
        SnapshotRefused: the process that holds the store could not make the checkpoint.
        SnapshotError: `out` cannot be written.
        StoreError: the store is damaged, or of another version, or a shard of it is
            gone.
    """
    manifest = read_store_manifest(store_root)
    check_none_is_gone(store_root, manifest)
    settings = replace(settings, half_life_seconds=manifest.half_life_seconds)
    deadline = time.monotonic() + settings.snapshot_timeout_seconds
    _remove_stale(store_root / REQUESTS_NAME)
    with _new_snapshot(out) as folder:
        names = [shard_name(index) for index in range(manifest.num_shards)]
        present = {
            index: name for index, name in enumerate(names) if has_database(store_root / name)
        }
        for index, name in present.items():
            _copy_shard(store_root, manifest, settings, index, folder / name, deadline)
        info = _describe(folder, out, present, settings, now_ms)
        write_manifest(folder, info)
    logger.info("snapshot taken out=%s id=%s facts=%d", out, info.snapshot_id, info.counts.facts)
    return info


def serve_requests(store: Store) -> int:
    """Answer the snapshot requests that wait for shards this store has open.

    Call it between batches.

    Costs one look at a folder where nothing waits. A checkpoint that fails is reported
    to whoever asked.

    Returns:
        How many were answered.
    """
    folder = store.root / REQUESTS_NAME
    try:
        waiting = [path for path in folder.iterdir() if path.suffix == ".request"]
    except FileNotFoundError:
        return 0
    shards = {str(shard.index): shard for shard in store.open_shards()}
    ours = [path for path in waiting if path.stem.rpartition(".")[2] in shards]
    return sum(_answer(request, shards[request.stem.rpartition(".")[2]]) for request in ours)


def _answer(request: Path, shard: Shard) -> bool:
    """Answer a request; return False where it is for whoever took the shard over."""
    part, done = request.with_suffix(".part"), request.with_suffix(".done")
    try:
        shutil.rmtree(part, ignore_errors=True)
        shard.checkpoint(part)
        shard.check_lease()
        part.rename(done)
        logger.info("checkpoint made shard=%d request=%s", shard.index, request.stem)
    except StoreFenced:
        return False
    except (OSError, StreamError) as error:
        logger.warning(
            "checkpoint failed shard=%d request=%s error=%s", shard.index, request.stem, error
        )
        # On a full disk even this may fail: the requester then runs into its timeout,
        # and the stream continues.
        with suppress(OSError):
            replace_file(request.with_suffix(".failed"), str(error).encode())
    request.unlink(missing_ok=True)
    return True


def _copy_shard(
    root: Path,
    manifest: StoreManifest,
    settings: StreamSettings,
    index: int,
    target: Path,
    deadline: float,
) -> None:
    """Get a checkpoint of a shard.

    Directly where nobody holds it, else from the process that does.
    """
    if _copy_resting(root, manifest, settings, index, target):
        return
    request = root / REQUESTS_NAME / f"{uuid4().hex}.{index}.request"
    request.parent.mkdir(exist_ok=True)
    request.touch()
    try:
        while not (
            _take_answer(request, target) or _copy_resting(root, manifest, settings, index, target)
        ):
            if time.monotonic() > deadline:
                raise SnapshotTimedOut(
                    f"the process that holds store {root} did not answer within "
                    f"{settings.snapshot_timeout_seconds:g} s; see whether it is alive and try "
                    "again"
                )
            time.sleep(_POLL_SECONDS)
    finally:
        for suffix in (".request", ".part", ".done", ".failed"):
            _remove(request.with_suffix(suffix))


def _copy_resting(
    root: Path, manifest: StoreManifest, settings: StreamSettings, index: int, target: Path
) -> bool:
    """Copy a shard that no process holds; return False where one does."""
    try:
        lease = acquire_lease(root / shard_name(index))
    except StoreBusy:
        return False
    shard = Shard(lease, index, manifest.num_shards, settings)
    try:
        shard.checkpoint(target)
    finally:
        shard.close()
    return True


def _take_answer(request: Path, target: Path) -> bool:
    """Move the checkpoint that answers a request to `target`.

    Return False while there is no answer.

    Raises:
        SnapshotRefused: the answer is that it could not be made.
    """
    failed, done = request.with_suffix(".failed"), request.with_suffix(".done")
    if failed.exists():
        reason = failed.read_text(encoding="utf-8")
        raise SnapshotRefused(f"the process that holds the store made no checkpoint: {reason}")
    if not done.exists():
        return False
    try:
        done.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.copytree(done, target)
    return True


def _describe(
    folder: Path, out: Path, shards: Mapping[int, str], settings: StreamSettings, now_ms: int
) -> SnapshotInfo:
    """Read the checkpoints in `folder`.

    Positions, counts and hash are what their own writes kept.
    """
    with GraphReader(
        folder, [folder / name for name in shards.values()], settings, settings.half_life_seconds
    ) as graph:
        graph_hash, watermark_ms = graph.recorded_hash(), graph.watermark_ms
        states, positions = graph.shard_states(), graph.positions()
        writers = {index: shard.writer_id() or b"" for index, shard in graph.shards()}
    return SnapshotInfo(
        snapshot_id=f"{datetime.fromtimestamp(now_ms / 1000, UTC):%Y%m%dT%H%M%SZ}-{graph_hash[:8]}",
        path=out,
        taken_ms=now_ms,
        watermark_ms=watermark_ms or 0,
        graph_hash=graph_hash,
        half_life_seconds=settings.half_life_seconds,
        action_weights=settings.action_weights,
        counts=SnapshotCounts(
            facts=sum(state.facts.count for state in states.values()),
            edge_facts=sum(state.edge_facts.count for state in states.values()),
            sessions=sum(state.num_sessions for state in states.values()),
            hyperedges=sum(state.num_hyperedges for state in states.values()),
            incidences=sum(state.num_incidences for state in states.values()),
        ),
        shards=tuple(
            SnapshotShard(
                shard=index,
                directory=name,
                sequence=states[place].sequence,
                watermark_ms=states[place].watermark_ms or 0,
                positions=positions[place],
                writer=writers[place].hex(),
            )
            for place, (index, name) in enumerate(shards.items())
        ),
    )


@contextmanager
def _new_snapshot(out: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `out` on success, with what goes wrong in
    our own words.
    """
    try:
        with new_directory(out) as folder:
            yield folder
    except FileExistsError as error:
        raise SnapshotExists(
            f"{out} exists already; choose another folder for the snapshot"
        ) from error
    except OSError as error:
        raise SnapshotError(
            f"no snapshot can be written to {out} ({error}); "
            f"{refusal(error) or 'check the path and the disk'}"
        ) from error


def _remove_stale(folder: Path) -> None:
    """Remove what requesters that died left behind, which would otherwise hold disk
    space.
    """
    if not folder.exists():
        return
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
