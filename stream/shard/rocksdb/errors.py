"""What RocksDB's errors mean for whoever runs it."""

from pathlib import Path

from stream.errors import (
    StoreBusy,
    StoreError,
    StoreRefused,
    StoreUnreadable,
    StoreWriteFailed,
    refusal,
)


def busy(path: Path, holder: str = "") -> StoreBusy:
    """Return the error for a shard that another process has open.

    Args:
        path: the shard's folder.
        holder: which process; empty: unknown.
    """
    return StoreBusy(
        f"store {path} is open in another process ({holder or 'freshet stream?'}); "
        "stop that one, or use another store"
    )


def store_error(path: Path, error: Exception) -> StoreError:
    """Return what a third party's error, or a record that does not unpack, means for
    whoever runs it.
    """
    text = str(error)
    if "LOCK" in text or "lock hold" in text:
        return busy(path)
    if "No space left" in text:
        return StoreWriteFailed(
            f"store {path} could not be opened ({text}); free space and start again"
        )
    if refused := refusal(error):
        return StoreRefused(f"store {path} cannot be opened ({text}): {refused}, then start again")
    return StoreUnreadable(
        f"store {path} cannot be read ({text}); restore a backup (`freshet restore`), "
        "or build it again"
    )


def advice(error: Exception) -> str:
    """Return what to do after a write failed."""
    return f"{refusal(error) or 'free or mend the disk'}, then start again"
