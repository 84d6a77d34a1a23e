"""The table of formats: one more is one more line."""

from stream.events.format import Format, read_as_any
from stream.events.formats.cloudevents import (
    DataReaders,
    binary_reader,
    formats_of_envelopes,
)
from stream.events.formats.neutral import NEUTRAL
from stream.events.formats.platforms.ga4 import GA4
from stream.events.formats.platforms.metarank import METARANK
from stream.events.formats.platforms.retail import RETAIL
from stream.events.formats.platforms.segment import SEGMENT
from stream.events.formats.platforms.snowplow import SNOWPLOW
from stream.events.formats.protobuf import PROTOBUF_ERASURE, PROTOBUF_EVENT, PROTOBUF_ITEM
from stream.events.formats.protobuf_batch import PROTOBUF_BATCH
from stream.events.formats.ubi import INDEX_LINE, UBI, UBI_HIT, UBI_SEARCH

IN_JSON: tuple[Format, ...] = (
    UBI,
    UBI_SEARCH,
    UBI_HIT,
    NEUTRAL,
    INDEX_LINE,
    SEGMENT,
    GA4,
    RETAIL,
    SNOWPLOW,
    METARANK,
)
"""Formats of events in JSON that a CloudEvent may hold, too."""

read_foreign = read_as_any([form for form in IN_JSON if form not in (NEUTRAL, INDEX_LINE)])
"""Reads an event of another form than a neutral line, where it has the key of one."""

_READERS = DataReaders(known=read_foreign)

CLOUD_EVENTS, CLOUD_ITEMS, CLOUD_ERASURES, CLOUD_BATCHES = formats_of_envelopes(_READERS)
read_binary = binary_reader(_READERS)

FORMATS: tuple[Format, ...] = (
    CLOUD_EVENTS,
    *IN_JSON,
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
