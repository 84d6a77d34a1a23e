"""The file ``GONE``: items that are deleted since the oldest kept generation, so that
no generation shows them, whichever is live.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.artifact.generation import Generation
from model.artifact.overlay.encoding import (
    SEGMENT_VERSION,
    Sections,
    pack,
    text_sections,
    texts_of,
    unpack,
)
from model.artifact.overlay.segment import SegmentFault
from model.artifact.overlay.writing import replace_unsynced
from model.errors import SegmentRefused
from protos import manifest_v1_pb2 as manifest_pb

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Gone:
    """When an item went.

    Attributes:
        catalog_ms: event time of its deletion in the catalogue; 0: it has none.
        at_ms: when the refresher learned of it, UTC epoch milliseconds.
    """

    catalog_ms: int
    at_ms: int


def encode_gone(gone: Mapping[str, Gone]) -> bytes:
    """Return the content of the file, by item id."""
    sections: Sections = {
        **text_sections("gone_items", gone),
        "gone_item_ms": np.array([one.catalog_ms for one in gone.values()], dtype="<i8"),
        "gone_at_ms": np.array([one.at_ms for one in gone.values()], dtype="<i8"),
    }
    header = manifest_pb.Segment(
        format_version=SEGMENT_VERSION, is_full=True, num_gone_items=len(gone)
    )
    return pack(header, sections)


def read_gone(path: Path) -> dict[str, Gone]:
    """Read the file; empty where it is not there.

    Raises:
        SegmentRefused: it is damaged.
        OSError: it cannot be read.
    """
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    sections = unpack(data, str(path), manifest_pb.Segment())
    try:
        ids = texts_of(sections, "gone_items")
        times = zip(sections["gone_item_ms"].tolist(), sections["gone_at_ms"].tolist(), strict=True)
        return {id_: Gone(*pair) for id_, pair in zip(ids, times, strict=True)}
    except (KeyError, TypeError, ValueError) as error:
        raise SegmentRefused(SegmentFault.CORRUPT, f"{path}: {error}") from error


class GoneList:
    """The file, as its one writer keeps it.

    Args:
        path: the file; one that is damaged is begun anew, and logged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._gone: dict[str, Gone] = {}
        try:
            self._gone = read_gone(path)
        except SegmentRefused as error:
            logger.error(  # noqa: TRY400  # the message says it all
                "gone_list_lost file=%s why=%s; a generation from before may show what was "
                "deleted since",
                path,
                error,
            )

    @property
    def items(self) -> Mapping[str, Gone]:
        """What is gone, by item id."""
        return self._gone

    def change(self, gone: Mapping[str, Gone], listed: Mapping[str, int]) -> None:
        """Add what is gone now, take out what is listed again, and write the file if
        that changes anything.

        A vector alone lists nothing: a generation from before has one of an item that
        was deleted since, and a click may move it.

        Args:
            gone: what is gone, by item id.
            listed: time of the catalogue state of items that are shown, by id; 0: none.
                One that is older than the deletion does not list the item again.

        Raises:
            OSError: it cannot be written; what it held is as it was.
        """
        changed = {**self._gone, **gone}
        for item_id, catalog_ms in listed.items():
            if item_id in changed and catalog_ms >= changed[item_id].catalog_ms:
                del changed[item_id]
        self._write(changed)

    def relist(self, generation: Generation) -> None:
        """Take out what a generation lists that is newer than the deletion: nobody need
        have seen the catalogue do so, and one from before would hide it for ever.

        Raises:
            OSError: as for `change`.
        """
        taken_ms, fresh = generation.manifest.snapshot.taken_ms, generation.fresh
        kept = {}
        for item_id, one in self._gone.items():
            row = generation.find_item(item_id)
            is_listed = (
                row is not None
                and fresh is not None
                and bool(generation.item_shown[row])
                and int(fresh.item_catalog_ms[row]) >= one.catalog_ms
                and taken_ms > one.at_ms
            )
            if not is_listed:
                kept[item_id] = one
        self._write(kept)

    def forget(self, before_ms: int) -> None:
        """Take out what went before the snapshot of the oldest kept generation, which
        no generation shows.

        Raises:
            OSError: as for `change`.
        """
        self._write({id_: one for id_, one in self._gone.items() if one.at_ms >= before_ms})

    def _write(self, changed: dict[str, Gone]) -> None:
        if changed != self._gone:
            replace_unsynced(self._path, encode_gone(changed))
            self._gone = changed
