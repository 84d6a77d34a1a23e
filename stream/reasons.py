"""Why a record is rejected: the machine-readable reasons, each with what it means."""

REASONS = {
    "unknown_encoding": "the content-type is not one that Freshet reads",
    "malformed": "the bytes do not parse as what the content-type announces",
    "unknown_type": "the type or action is not one that Freshet knows",
    "missing_field": "a required field is absent or empty",
    "wrong_type": "a field has a value of the wrong type",
    "empty_query": "a search action whose query is absent, or empty once normalised",
    "absurd_timestamp": "the event time is before the year 2000 or too far in the future",
    "oversized": "a field or the record is longer than allowed",
    "key_collision": "two different strings share a 64-bit key",
    "too_late": "the event is older than the retention bound allows, and not known yet",
}
