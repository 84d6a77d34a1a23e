"""What the how-to pages tell to write works as it stands there."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from stream.events.format import Format
from stream.events.formats.table import FORMATS
from stream.events.limits import Limits
from stream.events.sniffer import reader_by_keys
from testing.records import CLICK, NOW_MS, SETTINGS

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"


def blocks(page: str, language: str) -> list[str]:
    """Return the code blocks of a page in a language."""
    text = (HOW_TO / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_example_of_an_event_format_is_read() -> None:
    """The format of the page, at the head of the table, reads the page's message."""
    (message,) = blocks("add-an-event-format.md", "json")
    (module,) = blocks("add-an-event-format.md", "python")
    names: dict[str, Any] = {}
    exec(module, names)
    posthog: Format = names["POSTHOG"]
    read = reader_by_keys([posthog, *FORMATS])
    limits = Limits.at(SETTINGS, NOW_MS)

    (click,) = read(msgspec.json.decode(message), limits).events
    other = read(msgspec.json.decode(message) | {"event": "$pageview"}, limits)

    assert click == replace(CLICK, session_id="", user_id="u-1")
    assert (other.events, other.num_ignored) == ((), 1)
