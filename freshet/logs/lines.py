"""A log record as one line: text for people, or a JSON object."""

import json
import logging
import re
import time
from collections.abc import Mapping
from typing import Any

from freshet.logs.printable import printable, printable_json
from freshet.logs.runbook import heading_of

_TEXT_FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s"
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%S"

# A place for a value in a template of the standard library, with the key before it.
_PLACE = re.compile(r"(?:(\w+)=)?%[-#0+]*\d*(?:\.\d+)?([a-zA-Z%])")

Plain = str | int | float | bool | None


class TextLines(logging.Formatter):
    """Formats records as ``event key=value``, in UTC."""

    def __init__(self) -> None:
        super().__init__(_TEXT_FORMAT, _TIME_FORMAT)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802  # logging's name
        """Return the time to the second."""
        return time.strftime(datefmt or _TIME_FORMAT, time.gmtime(record.created))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        """Return the line; a terminal is shown it, and others wrote parts of it."""
        return printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802  # logging's name
        """Return the lines of a traceback."""
        return "\n".join(map(printable, super().formatException(ei).split("\n")))


class JsonLines(logging.Formatter):
    """Formats each record as one JSON object: ``time``, ``level``, ``logger``,
    ``event``, ``fields``, ``message``; of an error also ``id``, its heading in
    docs/operations.md, and ``traceback`` where there is one.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        second = time.strftime(_TIME_FORMAT, time.gmtime(record.created))
        event = event_of(str(record.msg))
        is_error = record.levelno >= logging.ERROR
        told: dict[str, object] = {
            "time": f"{second}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "event": event,
            "fields": fields_of(record),
            "message": record.getMessage(),
        }
        heading = getattr(record, "heading", "") or heading_of(event, is_error=is_error)
        if heading:
            told["id"] = heading
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return printable_json(json.dumps(told, ensure_ascii=False))


def event_of(template: str) -> str:
    """Return what a log line is about: its template up to the first value."""
    place = next((each for each in _PLACE.finditer(template) if each[2] != "%"), None)
    event = template if place is None else template[: place.start()]
    return event.strip(" :;,='(") or template


def fields_of(record: logging.LogRecord) -> Mapping[str, Plain]:
    """Return the values of a log line that have a name, as they were given."""
    places = [place for place in _PLACE.finditer(str(record.msg)) if place[2] != "%"]
    if not isinstance(record.args, tuple) or len(places) != len(record.args):
        return {}
    return {
        place[1]: _plain(value)
        for place, value in zip(places, record.args, strict=True)
        if place[1]
    }


def _plain(value: object) -> Plain:
    return value if isinstance(value, str | int | float | bool | None) else str(value)
