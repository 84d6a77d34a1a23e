"""Pure: the trace that a record's headers say it belongs to."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

HEADER = "traceparent"
"""The header, as https://www.w3.org/TR/trace-context/ has it."""

_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_VERSION, _INVALID_VERSION = "00", "ff"
_SAMPLED = 1  # the lowest bit of the flags: the producer records its span
# Characters of a header: version 00 has 55, and a later one may add some.
_MOST_CHARS = 128


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A span of a trace, made elsewhere.

    Attributes:
        trace_id: 32 hexadecimal digits, not all 0.
        span_id: 16 of them.
    """

    trace_id: str
    span_id: str

    @property
    def header(self) -> str:
        """It as a header has it."""
        return f"{_VERSION}-{self.trace_id}-{self.span_id}-01"


def parse(text: str) -> TraceContext | None:
    """Return the span that a header names; None: none, or one that is not recorded."""
    found = _PARENT.fullmatch(text) if len(text) <= _MOST_CHARS else None
    if found is None:
        return None
    version, trace_id, span_id, flags, rest = found.groups()
    is_wrong = version == _INVALID_VERSION or (version == _VERSION and rest is not None)
    if is_wrong or not int(flags, 16) & _SAMPLED:
        return None
    if not int(trace_id, 16) or not int(span_id, 16):
        return None
    return TraceContext(trace_id, span_id)


def context_of(headers: Sequence[tuple[str, bytes | None]] | None) -> TraceContext | None:
    """Return the span that a record's headers name; None: none does, or several."""
    found = [value for name, value in headers or () if name.lower() == HEADER]
    if len(found) != 1 or found[0] is None:
        return None
    return parse(found[0].decode("ascii", "replace"))
