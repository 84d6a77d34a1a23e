"""Reads the overlay of a generation, as a command shows it."""

from dataclasses import dataclass
from pathlib import Path

from model.artifact.generation import Generation
from model.artifact.overlay.chain import read_chain
from model.artifact.overlay.folder import OverlayFolder
from model.artifact.overlay.gone import read_gone
from model.artifact.overlay.merge import merge_rows
from model.artifact.overlay.segment import OverlayRows, no_rows


@dataclass(frozen=True, kw_only=True)
class CurrentOverlay:
    """What changes the answers of a generation.

    Attributes:
        sequence: the newest segment; 0: there is none.
        rows: what all segments together say.
        gone: ids of items that no answer has.
    """

    sequence: int
    rows: OverlayRows
    gone: frozenset[str]


def current_overlay(artifacts: Path, generation: Generation) -> CurrentOverlay:
    """Return the overlay of a generation, empty where it has none.

    As a server that starts now would take it.

    Raises:
        SegmentRefused: its pointer, or the list of gone items, is damaged.
        OSError: a file cannot be read.
    """
    folder, dim = OverlayFolder.of(artifacts), generation.manifest.dim
    newest = folder.newest(generation.id)
    segments = [] if newest is None else read_chain(folder, newest, after=0, dim=dim)[0]
    rows = merge_rows([no_rows(dim), *(segment.rows for segment in segments)])
    taken_ms = generation.manifest.snapshot.taken_ms
    listed = {id_ for id_, one in read_gone(folder.gone_path).items() if one.at_ms >= taken_ms}
    return CurrentOverlay(
        sequence=segments[-1].sequence if segments else 0,
        rows=rows,
        gone=frozenset({*rows.gone_items, *listed}),
    )
