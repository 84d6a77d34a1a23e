"""The headings of docs/operations.md that logged events and errors belong to.

An event that is logged as an error has a line here; so may warnings.
"""

from collections.abc import Mapping
from typing import Final

ERRORS_HEADING: Final = "Errors"
"""Where every error is listed by its class: for those without their own heading."""

EVENTS: Final[Mapping[str, str]] = {
    # stream
    "offset out of range": "FreshetRecordsLost",
    "topic was made again: reading it from its start": "FreshetTopicRecreated",
    "batch passed over": "FreshetRecordsSkipped",
    "batch not unpacked": "FreshetRecordsSkipped",
    "shards without an owner": "FreshetShardsWithoutOwner",
    "topic is gone": "FreshetBrokerSilent",
    "topic has other partitions": "FreshetShardsWithoutOwner",
    "shard not closed in good order": ERRORS_HEADING,
    "broker away": "FreshetBrokerSilent",
    "poll failed": "FreshetBrokerSilent",
    "ends of topics not known for a moment: asked again, nothing is lost": "FreshetBrokerSilent",
    "waiting for topics": "FreshetBrokerSilent",
    "waiting": "FreshetGraphBehind",
    "wide session": "FreshetWideSession",
    "purge failed": "FreshetErasedBytesStay",
    "feed not written": "FreshetFeedWritesMissing",
    "feed has a gap": "FreshetFeedWritesMissing",
    "feed not uploaded": "FreshetFeedNotUploaded",
    # model
    "tuning failed": "FreshetTunerFailing",
    "unexpected": "FreshetRefresherBehind",
    "behind": "FreshetRefresherBehind",
    "feed_gap": "FreshetFeedGap",
    "vectors_unfit": "FreshetPoisonVectors",
    "audit_failed": "FreshetVectorsDrift",
    "gone_list_lost": "FreshetOverlayRefused",
    # server
    "overlay_refused": "FreshetOverlayRefused",
    "less_fresh_view_live": "FreshetAnswersWentBack",
    "generation_refused": "FreshetSwapRefused",
    "started_from_fallback": "FreshetSwapRefused",
    "fallback_refused": "FreshetSwapRefused",
    "waiting_for_fit_generation": "FreshetServerNotReady",
    "request_failed": "FreshetServerErrors",
    "answer_failed": "FreshetServerErrors",
    "call_not_let_in": "FreshetServerErrors",
    "message_not_taken": "FreshetServerErrors",
    "not_counted": ERRORS_HEADING,
    "sweep_failed": ERRORS_HEADING,
    "turn_failed": ERRORS_HEADING,
    "calls_not_ended": ERRORS_HEADING,
    "http_connection_failed": ERRORS_HEADING,
    "worker_killed": "FreshetWorkerRestarts",
    "worker_hangs": "FreshetWorkerRestarts",
    "worker_ended": "FreshetWorkerRestarts",
    "worker_not_begun": "FreshetWorkerDown",
    "no_worker_lives": "FreshetWorkerDown",
    "round_failed": ERRORS_HEADING,
    "certificate_not_read_again": "FreshetCallersRefused",
    "tokens_not_read_again": "FreshetCallersRefused",
    "index recall of a query could not be measured": "FreshetIndexRecallLow",
    "sink failed": "FreshetSinkBehind",
    # command
    "page_failed": ERRORS_HEADING,
    "look_failed": ERRORS_HEADING,
    "no metrics": "FreshetProcessDown",
    "the refresher": "FreshetProcessDown",
}
"""By what a log line begins with, before its first value."""

ERRORS: Final[Mapping[str, str]] = {
    "SourceUnavailable": "FreshetBrokerSilent",
    "QuarantineUnavailable": "FreshetQuarantineUnavailable",
    "RegistryUnavailable": "FreshetSchemaRegistryUnavailable",
    "TopicRecreated": "FreshetTopicRecreated",
    "GateRefused": "FreshetTunerFailing",
    "TrainingRefused": "FreshetTunerFailing",
    "TrainingFailed": "FreshetTunerFailing",
    "GenerationMissing": "FreshetSwapRefused",
    "GenerationCorrupt": "FreshetSwapRefused",
    "CanaryFailed": "FreshetSwapRefused",
    "LoadStuck": "FreshetSwapRefused",
    "SegmentRefused": "FreshetOverlayRefused",
    "NoGeneration": "FreshetServerNotReady",
}
"""By the class of an error that ends a process."""


def heading_of(event: str, *, is_error: bool) -> str:
    """Return the heading of an event; empty: it has none, and is no error."""
    return EVENTS.get(event, ERRORS_HEADING if is_error else "")


def heading_of_error(error: Exception) -> str:
    """Return the heading that an error belongs to which ends a process."""
    return ERRORS.get(type(error).__name__, ERRORS_HEADING)
