"""The table of index engines: the module behind each name of ``model.index_engine``.

A new engine is one file in this folder and one line here; see
`docs/how-to/add-an-index-engine.md`. Nothing is imported: who reads settings needs the
names, and pays for no engine.
"""

from collections.abc import Mapping
from typing import Final

ENGINES: Final[Mapping[str, str]] = {
    "annoy": "model.artifact.index.annoy",
    "exact": "model.artifact.index.exact",
    "ivf": "model.artifact.index.ivf",
}

AUTO: Final = "auto"
"""In place of an engine's name: the one that is measured to cost least."""

# The engine of every generation from before manifests named one.
FIRST_ENGINE: Final = "annoy"

# Of `auto`, the simplest first. Annoy is not one of them: wherever both were measured,
# it costs several times what `ivf` does at the same recall (docs/benchmarks.md).
_AUTO_CANDIDATES = ("exact", "ivf")
# Items below which a scan costs less than twice the fixed costs of any other search,
# some 40 us: nothing has to be measured. Twice as many scan for up to 200 us.
_SCANNED_ITEMS = 4096


def candidates(name: str, count: int) -> tuple[str, ...]:
    """Return the engines that an index of `count` vectors may be built with, the
    simplest first.

    Args:
        name: an engine's, or `AUTO`.
        count: how many vectors.
    """
    if name != AUTO:
        return (name,)
    return _AUTO_CANDIDATES[:1] if count < _SCANNED_ITEMS else _AUTO_CANDIDATES
