"""The AsyncAPI document says what the code reads and writes."""

from dataclasses import replace
from typing import Any

import pytest
import yaml

from deploy.asyncapi.document import PATH, text
from stream.events.formats.table import FORMATS
from stream.events.sniffer import UNMAPPED
from stream.events.types import Rejection
from stream.quarantine.headers import headers_of
from stream.quarantine.topic import REPLAYED
from stream.reasons import REASONS
from stream.settings import StreamSettings
from testing.records import record


@pytest.fixture(scope="module")
def found() -> Any:
    """The document as it is published."""
    return yaml.safe_load(PATH.read_text(encoding="utf-8"))


def test_the_document_is_that_of_the_code() -> None:
    """It is generated, and not edited."""
    assert PATH.read_text(encoding="utf-8") == text(), "run: python -m deploy.asyncapi"


def test_every_topic_is_a_channel(found: Any) -> None:
    """Under the name that it has by default."""
    settings = StreamSettings()
    topics = {
        value
        for name, value in vars(settings).items()
        if name.endswith("_topic") and isinstance(value, str)
    }
    assert {channel["address"] for channel in found["channels"].values()} == topics


def test_every_content_type_is_a_message_of_a_channel(found: Any) -> None:
    """And every form that keys tell is named."""
    messages = found["components"]["messages"]
    announced = {each for form in UNMAPPED.formats for each in form.content_types}
    by_keys = {form.name: list(form.keys) for form in FORMATS if form.keys}
    referred = {
        reference["$ref"].rpartition("/")[2]
        for channel in found["channels"].values()
        for reference in channel["messages"].values()
    }

    assert {each["contentType"] for each in messages.values() if "contentType" in each} == announced
    assert messages["json_event"]["x-forms"] == by_keys
    assert referred == messages.keys()


def test_every_topic_is_read_or_written(found: Any) -> None:
    """By one operation each."""
    operations = found["operations"].values()
    channels = [each["channel"]["$ref"].rpartition("/")[2] for each in operations]

    assert sorted(channels) == sorted(found["channels"])
    assert [each["action"] for each in operations].count("send") == 1


def test_headers_of_rejected_records_are_named(found: Any) -> None:
    """All that we say of a record in the quarantine topic, beside its own headers."""
    headers = found["components"]["messages"]["rejected"]["headers"]
    huge = replace(
        record(b"x" * 600_000, "a/b", source="t", key=b"k" * 100_000),
        time_ms=1,
        raw_headers=[("trace", b"t" * 200_000)],
    )
    written: list[set[str]] = []
    for each in (huge, record(None)):
        rejection = Rejection(record=each, reason="malformed", detail="d")
        written.append({name for name, _ in headers_of(rejection, 1, "group")})

    assert written[0] | written[1] == headers["properties"].keys()
    assert set(headers["required"]) <= written[0] & written[1]
    assert headers["properties"]["reason"]["enum"] == [*REASONS, REPLAYED]
