"""A soak's history by its seed, and the records that are planted in it."""

import json
from pathlib import Path

from stream.events.decoder import decode
from stream.events.types import CatalogItem, Interaction, Record, SourcePartition
from stream.settings import StreamSettings
from testing.soak.history import Malformed, make_history


def test_a_history_is_the_same_by_seed_and_delivered_whole() -> None:
    """Every event, item and malformed record is delivered, some events twice, the items
    in their order.
    """
    history = make_history(5, 3_000)

    assert history == make_history(5, 3_000)
    assert history.events != make_history(6, 3_000).events
    contents = [each.content for each in history.deliveries]
    interactions = [content for content in contents if isinstance(content, Interaction)]
    assert {*interactions} == {*history.events}
    assert len(interactions) > 1.03 * len(history.events)
    assert [content for content in contents if isinstance(content, CatalogItem)] == history.items
    values = [content.value for content in contents if isinstance(content, Malformed)]
    assert len(values) == len(history.malformed)
    assert 0.005 < len(values) / len(history.events) < 0.015
    assert {each.form for each in history.deliveries} == {"protobuf", "batch", "json"}


def test_what_is_planted_is_malformed() -> None:
    """Each planted record is rejected, and gives no event."""
    settings, position = StreamSettings(), SourcePartition("clicks", 0)
    planted = [
        each.content
        for each in make_history(5, 4_000).deliveries
        if isinstance(each.content, Malformed)
    ]

    for malformed in planted:
        record = Record(
            position=position,
            offset=0,
            next_offset=1,
            content_type=malformed.content_type.decode(),
            key=b"bad",
            value=malformed.value,
        )
        decoded = decode(record, settings, 1_800_000_000_000)
        assert decoded.rejections
        assert not decoded.events


def test_the_files_say_what_happened(tmp_path: Path) -> None:
    """As many lines as events and items, an absent query as null."""
    history = make_history(5, 300)

    history.write(tmp_path / "events.jsonl", tmp_path / "items.jsonl")

    lines = [
        json.loads(line) for line in (tmp_path / "events.jsonl").read_text("utf-8").splitlines()
    ]
    assert [line["query"] or "" for line in lines] == [event.query for event in history.events]
    assert len((tmp_path / "items.jsonl").read_text("utf-8").splitlines()) == len(history.items)
