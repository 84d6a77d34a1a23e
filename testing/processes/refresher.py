"""A refresher that kills itself in the middle of a publication:
``python -m testing.processes.refresher STORE ARTIFACTS MOMENT``.
"""

import os
import signal
import sys
from pathlib import Path
from threading import Event

from model.artifact.overlay import gone, publisher, writing
from model.refresher.loop import run_refresher
from testing.refresher.shop_lane import ShopLane


def main() -> None:
    """Refresh until the moment: before the first round is published (``start``), after
    the temporary file of a ``segment``, the ``pointer`` or the list of ``gone`` items.
    """
    root, moment = Path(sys.argv[1]).parent, sys.argv[3]
    ends = {"segment": ".segment", "pointer": "NEWEST", "gone": "GONE"}

    def die(path: Path, content: bytes) -> None:
        if moment == "start" or path.name.endswith(ends[moment]):
            temporary = path.with_name(f".{path.name}.killed.tmp")
            temporary.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(content[: len(content) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        writing.replace_unsynced(path, content)

    for module in (publisher, gone):
        setattr(module, "replace_unsynced", die)  # noqa: B010  # it is theirs by import
    run_refresher(ShopLane(root=root).parts(), Event())


if __name__ == "__main__":
    main()
