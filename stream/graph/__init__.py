"""The pure rules of the graph: facts, sessions, edges, folding, arrays. No I/O."""

import importlib
import warnings
from typing import TYPE_CHECKING

if not TYPE_CHECKING:  # so that mypy still finds names that are not here

    def __getattr__(name: str) -> object:
        """Give what was here once: `open_graph`, by its old name.

        By `importlib`, for nothing here imports the readers, which are floors above.

        Raises:
            AttributeError: there is and was no such name.
        """
        if name != "open_graph":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        warnings.warn(
            "stream.graph.open_graph is deprecated: import it from stream.reading.reader",
            DeprecationWarning,
            stacklevel=2,
        )
        return importlib.import_module("stream.reading.reader").open_graph
