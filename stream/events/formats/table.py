"""The table of formats: one more is one more line."""

from stream.events.format import Format
from stream.events.formats.cloudevents import CLOUD_EVENTS
from stream.events.formats.ga4 import GA4
from stream.events.formats.neutral import NEUTRAL
from stream.events.formats.protobuf import PROTOBUF_ERASURE, PROTOBUF_EVENT, PROTOBUF_ITEM
from stream.events.formats.protobuf_batch import PROTOBUF_BATCH
from stream.events.formats.retail import RETAIL
from stream.events.formats.segment import SEGMENT
from stream.events.formats.ubi import INDEX_LINE, UBI, UBI_HIT, UBI_SEARCH

FORMATS: tuple[Format, ...] = (
    CLOUD_EVENTS,
    UBI,
    UBI_SEARCH,
    UBI_HIT,
    NEUTRAL,
    INDEX_LINE,
    SEGMENT,
    GA4,
    RETAIL,
    PROTOBUF_EVENT,
    PROTOBUF_BATCH,
    PROTOBUF_ITEM,
    PROTOBUF_ERASURE,
)
"""All formats of events, and the messages in protobuf.

An event in JSON of which its content-type says no more is of the first that has one of
its keys, so that a format with keys of its own comes before one with common keys, such
as ``properties``.
"""
