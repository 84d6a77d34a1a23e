"""A segment on disk is read as it was written, or refused whole."""

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.artifact.overlay import encoding
from model.artifact.overlay.encoding import decode_segment, encode_segment
from model.artifact.overlay.folder import OverlayFolder
from model.artifact.overlay.segment import (
    Claim,
    Mark,
    OverlayRows,
    Segment,
    SegmentFault,
    StageTimes,
    no_rows,
)
from model.errors import SegmentRefused
from protos import manifest_v1_pb2 as manifest_pb
from testing.overlays import overlay_rows, random_units, with_evidence

DIM = 8
GENERATION = "20261123T151500Z-a1b2c3"


def segment_of(rows: OverlayRows) -> Segment:
    """Return a full segment with a value in each field."""
    return Segment(
        generation_id=GENERATION,
        sequence=7,
        writer="c0ffee00",
        is_full=True,
        created_ms=1_790_000_000_000,
        claim=Claim(
            reflected_ms=1_789_999_999_000,
            catalog_reflected_ms=1_789_999_999_500,
            watermark_ms=1_789_999_998_000,
            marks={0: Mark("aa", 5), 3: Mark("bb", 6)},
        ),
        oldest=StageTimes(event_ms=1, record_ms=2, durable_ms=3),
        newest=StageTimes(event_ms=4, record_ms=5, durable_ms=6),
        rows=rows,
    )


def some_rows(seed: int = 0, num_items: int = 5, num_queries: int = 3) -> OverlayRows:
    """Return rows with a bit of everything."""
    random = np.random.default_rng(seed)
    items = random_units(random, num_items, DIM)
    queries = random_units(random, num_queries, DIM)
    rows = overlay_rows(
        DIM,
        items={f"item {row} é": items[row] for row in range(num_items)},
        queries={f"query {row} ü": queries[row] for row in range(num_queries)},
        gone_items=("old 1", "old 2"),
        gone_queries=("forgotten",),
        hidden=("item 0 é",),
    )
    clicks = {"query 0 ü": {"item 0 é": 3, "elsewhere": 1}}
    return with_evidence(rows, clicks, {"item 0 é": 4})


def assert_same(found: OverlayRows, wanted: OverlayRows) -> None:
    """Fail unless all of two rows is equal."""
    for field in fields(OverlayRows):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(wanted, field.name))


def fault_of(data: bytes) -> str:
    """Return why some bytes are refused."""
    with pytest.raises(SegmentRefused) as refused:
        decode_segment(data, "it")
    return refused.value.fault


@given(seed=st.integers(0, 99), num_items=st.integers(0, 20), num_queries=st.integers(0, 20))
def test_a_segment_is_read_as_it_was_written(seed: int, num_items: int, num_queries: int) -> None:
    """Header and rows, whatever is in it, also nothing."""
    written = segment_of(some_rows(seed, num_items, num_queries))

    found = decode_segment(encode_segment(written), "it")

    assert replace(found, rows=written.rows) == written
    assert_same(found.rows, written.rows)
    assert found.rows.item_vectors.flags.aligned


def test_an_empty_segment_is_one() -> None:
    """A refresher that starts writes a full one though nothing has changed."""
    found = decode_segment(encode_segment(segment_of(no_rows(DIM))), "it")

    assert found.rows.is_empty
    assert found.rows.dim == DIM


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_no_flipped_bit_goes_unseen(at: int, bit: int) -> None:
    """Wherever it is: in the header, in a vector, in the checksum."""
    data = bytearray(encode_segment(segment_of(some_rows())))
    data[at % len(data)] ^= 1 << bit

    assert fault_of(bytes(data)) in {SegmentFault.CORRUPT, SegmentFault.TORN}


@given(share=st.floats(0, 1, exclude_max=True))
def test_a_torn_one_is_told_from_a_corrupt_one(share: float) -> None:
    """By its own size: the rest may still arrive."""
    data = encode_segment(segment_of(some_rows()))

    assert fault_of(data[: int(share * len(data))]) is SegmentFault.TORN


def test_what_is_behind_the_end_is_corrupt() -> None:
    """Two writers that share a file."""
    assert fault_of(encode_segment(segment_of(some_rows())) + b"more") is SegmentFault.CORRUPT


def without_unit_length(rows: OverlayRows) -> OverlayRows:
    """Return rows with one item vector of length two."""
    vectors = rows.item_vectors.copy()
    vectors[1] *= 2
    return replace(rows, item_vectors=vectors)


def with_nan(rows: OverlayRows) -> OverlayRows:
    """Return rows with one number of a query vector that is none."""
    vectors = rows.query_vectors.copy()
    vectors[1, 2] = np.nan
    return replace(rows, query_vectors=vectors)


@pytest.mark.parametrize(
    ("broken", "fault"),
    [
        (without_unit_length, SegmentFault.VECTORS),
        (with_nan, SegmentFault.VECTORS),
        (lambda rows: replace(rows, item_titles=rows.item_titles[1:]), SegmentFault.COUNTS),
        (lambda rows: replace(rows, item_shown=rows.item_shown[1:]), SegmentFault.COUNTS),
        (lambda rows: replace(rows, query_texts=(*rows.query_texts, "x")), SegmentFault.COUNTS),
        (
            lambda rows: replace(rows, query_vectors=np.ones((3, DIM + 1), dtype=np.float32)),
            SegmentFault.COUNTS,
        ),
        (
            lambda rows: replace(rows, gone_items=("old 1", rows.item_ids[0])),
            SegmentFault.CORRUPT,
        ),
        (lambda rows: replace(rows, query_texts=("a", "b", "a")), SegmentFault.CORRUPT),
    ],
)
def test_rows_that_contradict_themselves_are_refused(
    broken: Callable[[OverlayRows], OverlayRows], fault: SegmentFault
) -> None:
    """Though their checksum is right."""
    assert fault_of(encode_segment(segment_of(broken(some_rows())))) is fault


def test_sections_of_another_kind_are_refused() -> None:
    """Whoever wrote the file: its checksum vouches for nothing but its bytes."""
    segment = segment_of(some_rows())
    header = manifest_pb.Segment()
    sections = encoding.unpack(encode_segment(segment), "it", header)
    others = {
        "item_ids.offsets": sections["item_ids.offsets"].astype(np.float64),
        "item_titles.utf8": np.full_like(sections["item_titles.utf8"], 0xFF),
        "query_texts.offsets": sections["query_texts.offsets"] + 1,
        "item_vectors": sections["item_vectors"].astype(np.float64),
        "gone_queries": sections["gone_queries"].astype(np.int64),
    }

    for name, other in others.items():
        assert fault_of(encoding.pack(header, sections | {name: other})) is SegmentFault.CORRUPT
        rest = {each: array for each, array in sections.items() if each != name}
        assert fault_of(encoding.pack(header, rest)) is SegmentFault.CORRUPT


def test_one_of_before_explains_nothing() -> None:
    """An earlier version wrote neither clicks nor sessions; the rest is as it was."""
    header = manifest_pb.Segment()
    data = encode_segment(segment_of(some_rows()))
    sections = encoding.unpack(data, "it", header)
    old = {
        name: array
        for name, array in sections.items()
        if name != "item_sessions" and not name.startswith("query_clicks")
    }

    rows = decode_segment(encoding.pack(header, old), "it").rows

    assert rows.query_clicks == ("", "", "")
    assert rows.item_sessions.tolist() == [0] * 5
    assert rows.query_texts == some_rows().query_texts


def test_a_newer_format_is_refused_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it means is not known, so it is not guessed."""
    monkeypatch.setattr(encoding, "SEGMENT_VERSION", 2)
    data = encode_segment(segment_of(some_rows()))
    monkeypatch.undo()

    assert fault_of(data) is SegmentFault.VERSION


@pytest.mark.parametrize(
    ("generation", "sequence", "dim", "fault"),
    [
        ("20261123T151500Z-ffffff", 7, DIM, SegmentFault.GENERATION),
        (GENERATION, 8, DIM, SegmentFault.SEQUENCE),
        (GENERATION, 7, DIM + 1, SegmentFault.DIM),
        (GENERATION, 9, DIM, SegmentFault.MISSING),
    ],
)
def test_a_segment_in_the_wrong_place_is_refused(
    tmp_path: Path, generation: str, sequence: int, dim: int, fault: SegmentFault
) -> None:
    """Copied to another name, or for other vectors."""
    folder = OverlayFolder(tmp_path)
    if fault is not SegmentFault.MISSING:
        path = folder.segment_path(generation, sequence)
        path.parent.mkdir()
        path.write_bytes(encode_segment(segment_of(some_rows())))

    with pytest.raises(SegmentRefused) as refused:
        folder.segment(generation, sequence, dim=dim)

    assert refused.value.fault is fault


def test_a_delta_follows_the_one_before_it_by_the_same_writer() -> None:
    """Nothing else; a full one follows anything."""
    full = segment_of(some_rows())
    delta = replace(full, is_full=False, sequence=8)

    full.check_follows(0, "")
    full.check_follows(9, "another")
    delta.check_follows(7, full.writer)
    for sequence, writer, fault in (
        (0, "", SegmentFault.SEQUENCE),
        (6, full.writer, SegmentFault.SEQUENCE),
        (8, full.writer, SegmentFault.SEQUENCE),
        (7, "another", SegmentFault.WRITER),
    ):
        with pytest.raises(SegmentRefused) as refused:
            delta.check_follows(sequence, writer)
        assert refused.value.fault is fault
