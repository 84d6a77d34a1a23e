"""Reads from the artifacts folder what the database is to have."""

from dataclasses import dataclass

from model.artifact.generation import Generation, open_generation
from model.artifact.overlay.chain import read_chain
from model.artifact.overlay.folder import OverlayFolder
from model.artifact.overlay.gone import read_gone
from model.artifact.overlay.merge import merge_rows
from model.artifact.overlay.segment import Claim, OverlayRows, no_rows
from model.artifact.store import ArtifactStore
from model.sink.rows import WantedItems


@dataclass(frozen=True, kw_only=True)
class FolderState:
    """What the artifacts folder has now.

    Attributes:
        items: of the live generation under its overlay.
        writer: who wrote the overlay; empty: there is none.
        watermark_ms: event time up to which everything is reflected; 0: not known.
        reflected_ms: the same in broker time; 0: not known.
        refusal: why not all of the overlay was taken; None: it was.
    """

    items: WantedItems
    writer: str
    watermark_ms: int
    reflected_ms: int
    refusal: Exception | None


@dataclass(frozen=True, kw_only=True)
class _Overlay:
    """What was read of the segments of a generation."""

    generation_id: str
    writer: str
    sequence: int
    rows: OverlayRows
    claim: Claim
    refusal: Exception | None


class FolderReader:
    """Reads the live generation and its overlay, each only where it is another one.

    Args:
        artifacts: the folder.
    """

    def __init__(self, artifacts: ArtifactStore) -> None:
        self._artifacts = artifacts
        self._overlays = OverlayFolder.of(artifacts.root)
        self._generation: Generation | None = None
        self._overlay: _Overlay | None = None

    def read(self) -> FolderState | None:
        """Return what is there; None: no generation is live.

        Raises:
            ArtifactError: it is damaged.
            OSError: it cannot be read.
        """
        live = self._artifacts.current_id()
        if not live:
            return None
        if self._generation is None or self._generation.id != live:
            path = self._artifacts.generation_path(live)
            self._generation = open_generation(path, has_fresh=False)
        generation = self._generation
        gone = {id_: one.at_ms for id_, one in read_gone(self._overlays.gone_path).items()}
        self._overlay = overlay = self._read_overlay(generation)
        watermark_ms = generation.manifest.snapshot.watermark_ms
        return FolderState(
            items=WantedItems(
                generation=generation, overlay=overlay.rows, sequence=overlay.sequence, gone=gone
            ),
            writer=overlay.writer,
            watermark_ms=max(watermark_ms, overlay.claim.watermark_ms),
            reflected_ms=overlay.claim.reflected_ms,
            refusal=overlay.refusal,
        )

    def _read_overlay(self, generation: Generation) -> _Overlay:
        """Return all segments of a generation together: as read before, where there is
        none since.
        """
        newest, dim = self._overlays.newest(generation.id), generation.manifest.dim
        if newest is None:
            return _Overlay(
                generation_id=generation.id,
                writer="",
                sequence=0,
                rows=no_rows(dim),
                claim=Claim(),
                refusal=None,
            )
        known = (generation.id, newest.writer, newest.sequence)
        before = self._overlay
        rows, sequence, refusal, claim = no_rows(dim), 0, None, newest.claim
        if before and (before.generation_id, before.writer, before.sequence) == known:
            rows, sequence = before.rows, before.sequence
        else:
            taken, refusal = read_chain(self._overlays, newest, after=0, dim=dim)
            if refusal is not None:
                claim = taken[-1].claim if taken else Claim()
            if taken:
                parts = [segment.rows for segment in taken]
                rows = merge_rows(parts) if len(parts) > 1 else parts[0]
                sequence = taken[-1].sequence
        return _Overlay(
            generation_id=generation.id,
            writer=newest.writer,
            sequence=sequence,
            rows=rows,
            claim=claim,
            refusal=refusal,
        )
