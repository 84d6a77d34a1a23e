"""The logs that quality is measured on, by name: folders, wider catalogues, shares of
views, simulated shops.
"""

import argparse
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

from freshet.evaluation.event_log import EventLog, open_log
from freshet.shop.feed import FILE_NAMES, SimulationPlan, to_files
from model.evaluation.hidden_queries import HiddenQueries
from stream.reading.reader import GraphReader
from stream.settings import StreamSettings

_NAME = re.compile(r"(?P<folder>[^+@]+)(\+(?P<catalogue>[^+@]+))?(@(?P<percent>\d{1,2}))?")

# Shops of `freshet simulate --seed 7 --items 2000 --events 50000`, of which the second
# has titles that say nothing: as docs/experiments.md has them since there are any.
# Twice as many events take twice as long to train on.
_SHOPS = {
    "simulated": SimulationPlan(
        seed=7, num_items=2000, num_events=50_000, rate=None, start_ms=None
    ),
    "simulated_bare": SimulationPlan(
        seed=7, num_items=2000, num_events=50_000, rate=None, start_ms=None, bare_titles=True
    ),
}


@dataclass(frozen=True, kw_only=True)
class QualityLog:
    """A log to measure on.

    Attributes:
        name: as it was asked for.
        folder: its folder among the logs, or a simulated shop.
        catalogue: a folder whose items are in the catalogue, too; empty: none.
        percent: of the past's search clicks that are views to the models.
    """

    name: str
    folder: str
    catalogue: str = ""
    percent: int = 0

    @classmethod
    def named(cls, name: str) -> "QualityLog":
        """Return the log of a name: ``FOLDER[+CATALOGUE][@PERCENT]``.

        Raises:
            argparse.ArgumentTypeError: it has another form.
        """
        found = _NAME.fullmatch(name)
        if found is None:
            raise argparse.ArgumentTypeError(
                f"{name!r} is not FOLDER[+CATALOGUE][@PERCENT], such as lastfm_hetrec@80"
            )
        return cls(
            name=name,
            folder=found["folder"],
            catalogue=found["catalogue"] or "",
            percent=int(found["percent"] or 0),
        )

    def views(self, seed: int) -> HiddenQueries | None:
        """Return which clicks of the past are views to the models; None: none."""
        return HiddenQueries(share=self.percent / 100, seed=seed) if self.percent else None

    @contextmanager
    def opened(self, data: Path | None, settings: StreamSettings) -> Iterator[GraphReader]:
        """Yield the graph of all its events.

        Args:
            data: the folder of logs; None: `data_folder`, where one is needed.
            settings: of the scratch store.

        Raises:
            StreamError: a file is missing, or cannot be read.
        """
        with TemporaryDirectory(prefix="freshet-quality-") as scratch:
            log = EventLog(
                graph=None,
                events=[self._file(self.folder, "events", data, Path(scratch))],
                items=[
                    self._file(folder, "items", data, Path(scratch))
                    for folder in (self.folder, self.catalogue)
                    if folder
                ],
            )
            with open_log(log, settings, Event()) as graph:
                yield graph

    def _file(self, folder: str, kind: str, data: Path | None, scratch: Path) -> Path:
        """Return a file of a log; a simulated shop is written first."""
        if folder not in _SHOPS:
            return (data or data_folder()) / folder / f"{kind}.jsonl.gz"
        shop = scratch / folder
        if not shop.exists():
            to_files(_SHOPS[folder], shop)
        (name,) = (name for name in FILE_NAMES if name.startswith(kind))
        return shop / name


def data_folder() -> Path:
    """Return the folder of event logs: ``FRESHET_DATA``, or the usual place beside the
    repository.
    """
    default = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
    folder = Path(os.environ.get("FRESHET_DATA", default))
    if not folder.is_dir():
        raise SystemExit(
            f"no event logs at {folder}; give --data a folder of logs, or set FRESHET_DATA to it"
        )
    return folder
