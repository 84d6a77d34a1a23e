"""Bounds of what is believed of an event, whatever its format."""

CUT_PREFIX = "cut:"
"""What the ids of cut sessions begin with; no id of a platform may."""


EARLIEST_MS = 946_684_800_000
"""The first event time that is believed: the year 2000."""
