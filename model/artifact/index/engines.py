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
}

# The engine of every generation from before manifests named one.
FIRST_ENGINE: Final = "annoy"
