"""What must hold of every format of the table."""

from dataclasses import replace
from pathlib import Path
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos import events_v1_pb2 as pb
from stream.actions import Action
from stream.events.decoder import decode
from stream.events.format import Event, Format
from stream.events.formats.table import FORMATS
from stream.events.types import CatalogItem, Erasure
from testing.records import (
    CLICK,
    NEUTRAL,
    NOW_MS,
    SEARCH,
    SETTINGS,
    TS_MS,
    UBI,
    UBI_SEARCH,
    batch,
    check_batch_decodes_as_its_records,
    event,
    record,
    records,
)

_DOCS = Path(__file__).parents[4] / "docs" / "formats.md"
_CLOUD = {
    "specversion": "1.0",
    "type": "freshet.click",
    "time": "2023-11-14T21:56:40Z",
    "data": {"session_id": "s1", "user_id": "u1", "query": "Xbox-360!", "item_id": "i1"},
}
_ITEM = CatalogItem(item_id="i1", title="T", ts_ms=TS_MS)
_USER = Erasure(kind="user", id="u1", ts_ms=TS_MS)

_ORDERED = replace(CLICK, session_id="", query="", action=Action.PURCHASE)
_SEGMENT = {
    "type": "track",
    "event": "Order Completed",
    "messageId": "m1",
    "userId": "u1",
    "timestamp": "2023-11-14T21:56:40.000Z",
    "properties": {"products": [{"product_id": "i1"}, {"product_id": "i2"}, {}]},
}
_GA4 = {
    "event_name": "purchase",
    "event_timestamp": TS_MS * 1000,
    "user_pseudo_id": "u1",
    "items": [{"item_id": "i1"}, {"item_id": "i2"}],
}
_RETAIL = {
    "eventType": "purchase-complete",
    "visitorId": "u1",
    "eventTime": "2023-11-14T21:56:40Z",
    "productDetails": [{"product": {"id": "i1"}}, {"product": {"id": "i2"}}],
}

_SNOWPLOW = {
    "event_vendor": "com.snowplowanalytics.snowplow.ecommerce",
    "collector_tstamp": "2023-11-14T21:56:40.000Z",
    "domain_userid": "u1",
    "unstruct_event_com_snowplowanalytics_snowplow_ecommerce_snowplow_ecommerce_action_1": {
        "type": "transaction"
    },
    "contexts_com_snowplowanalytics_snowplow_ecommerce_product_1": [{"id": "i1"}, {"id": "i2"}],
}
_METARANK = {
    "event": "interaction",
    "id": "e1",
    "timestamp": str(TS_MS),
    "user": "u1",
    "type": "purchase",
    "item": "i1",
}

EXAMPLES: dict[str, tuple[object, Event | None]] = {
    "cloudevents": (_CLOUD, CLICK),
    "ubi": (UBI, CLICK),
    "ubi search": (UBI_SEARCH, SEARCH),
    "ubi hit": ({"_index": "ubi_events", "_id": "1", "_source": UBI}, CLICK),
    "index line": ({"index": {"_index": "ubi_events", "_id": "1"}}, None),
    "neutral": (NEUTRAL, CLICK),
    "segment": (_SEGMENT, _ORDERED),
    "ga4": (_GA4, _ORDERED),
    "retail": (_RETAIL, _ORDERED),
    "snowplow": (_SNOWPLOW, _ORDERED),
    "metarank": (_METARANK, _ORDERED),
    "protobuf event": (event(), CLICK),
    "protobuf batch": (batch().SerializeToString(), CLICK),
    "protobuf item": (
        pb.CatalogItem(item_id="i1", title="T", ts_ms=TS_MS).SerializeToString(),
        _ITEM,
    ),
    "protobuf erasure": (
        pb.Erasure(kind=pb.ERASURE_KIND_USER, id="u1", ts_ms=TS_MS).SerializeToString(),
        _USER,
    ),
}
"""A message of each format, as bytes or as JSON, and the first event in it; None: it
is in order and holds none.
"""


def value_of(form: Format) -> bytes:
    """Return the example of a format as the value of a record."""
    example, _ = EXAMPLES[form.name]
    return example if isinstance(example, bytes) else msgspec.json.encode(example)


def announcements(form: Format) -> list[str]:
    """Return the content-types that a record of a format may come with; "": none."""
    return [*form.content_types, *([""] if form.keys else [])]


def test_every_format_has_an_example() -> None:
    """The laws below are tried on every format of the table."""
    assert set(EXAMPLES) == {form.name for form in FORMATS}
    assert len(EXAMPLES) == len(FORMATS)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_an_example_is_told_and_read(form: Format) -> None:
    """A record is read as its own format, announced or told by its keys: no format
    further up in the table takes it.
    """
    _, expected = EXAMPLES[form.name]

    assert announcements(form)
    for content_type in announcements(form):
        decoded = decode(record(value_of(form), content_type), SETTINGS, NOW_MS)
        assert next(iter(decoded.events), None) == expected


def test_a_format_that_is_told_by_keys_can_read_json() -> None:
    """Whoever is told by keys is given JSON that is parsed already."""
    assert all(form.read for form in FORMATS if form.keys)


def test_no_two_formats_are_told_by_the_same() -> None:
    """A content-type or a key of one format is of no other."""
    content_types = [each for form in FORMATS for each in form.content_types]
    keys = [each for form in FORMATS for each in form.keys]

    assert len(set(content_types)) == len(content_types)
    assert len(set(keys)) == len(keys)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(FORMATS), st.lists(st.tuples(st.integers(0), st.binary(max_size=3)))
        ),
        max_size=6,
    ),
    st.randoms(use_true_random=False),
)
def test_damaged_examples_are_decoded_alike_by_the_fast_path(
    damaged: list[tuple[Format, list[tuple[int, bytes]]]], random: Random
) -> None:
    """Whatever bytes are in the midst of a record, both ways of decoding agree."""
    found: list[tuple[str, bytes | None]] = []
    for form, changes in damaged:
        value = value_of(form)
        for place, inserted in changes:
            cut = place % (len(value) + 1)
            value = value[:cut] + inserted + value[cut + len(inserted) :]
        found.append((random.choice(announcements(form)), value))

    check_batch_decodes_as_its_records(records(found), SETTINGS)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_the_documentation_says_how_a_format_is_told(form: Format) -> None:
    """docs/formats.md names each media type, message and key."""
    text = _DOCS.read_text(encoding="utf-8")

    for content_type in form.content_types:
        assert all(part in text for part in content_type.split("; "))
    for key in form.keys:
        assert f"`{key}`" in text
