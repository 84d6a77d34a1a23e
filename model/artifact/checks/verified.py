"""Opens a generation and checks all that can be checked without searching its index."""

from collections.abc import Callable
from pathlib import Path

from model.artifact.checks.canaries import ask_canaries
from model.artifact.checks.contents import check_contents
from model.artifact.generation import Generation, open_generation
from model.artifact.private_files import DigestOf, OpenFile, as_it_is
from stream.files import sha256_of


def open_verified(
    path: Path,
    *,
    on_file: Callable[[Path], None] | None = None,
    open_file: OpenFile = as_it_is,
    digest_of: DigestOf = sha256_of,
    has_fresh: bool = True,
) -> Generation:
    """Open a generation; check its files, what they hold, and its canaries.

    Args:
        path: the generation's folder.
        on_file: as in `open_generation`.
        open_file: as in `open_generation`.
        digest_of: as in `open_generation`.
        has_fresh: as in `open_generation`.

    Raises:
        GenerationMissing: there is no generation at `path`.
        GenerationCorrupt: something about it is wrong; the message says what, where.
    """
    generation = open_generation(
        path,
        verify=True,
        on_file=on_file,
        open_file=open_file,
        digest_of=digest_of,
        has_fresh=has_fresh,
    )
    check_contents(generation)
    ask_canaries(generation, generation.text_encoder())
    return generation
