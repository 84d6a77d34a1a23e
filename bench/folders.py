"""The folder that a measurement works in."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def work_folder(given: Path | None, name: str) -> Iterator[Path]:
    """Yield a new folder: the given one, which stays, or one that ends with the block.

    Args:
        given: it is made; None: anywhere.
        name: of the measurement, for a folder anywhere.

    Raises:
        FileExistsError: the given one is there.
    """
    if given is not None:
        given.mkdir(parents=True)
        yield given
        return
    with tempfile.TemporaryDirectory(prefix=f"freshet-{name}-") as folder:
        yield Path(folder)
