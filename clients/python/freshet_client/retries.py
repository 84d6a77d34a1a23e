"""When a failed call is tried again: gRPC's own retry policy, as a service config."""

import json
from dataclasses import dataclass

import grpc

from freshet_client.errors import SettingsInvalid

_MAX_ATTEMPTS = 5
"""Tries a call, the first included: gRPC lowers any larger number to this."""

_THROTTLE_TOKENS = 100
"""After half as many failed tries in a row calls are no longer tried again.

A server that is down for long then gets one try a call instead of five. 50 failed tries
are ten calls of five tries; with twice as many, clients would press twice as long on a
server that fails.
"""

_THROTTLE_RATIO = 0.1
"""Tokens that a success gives back: retries stay on while few tries fail (a tenth)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Which calls are tried again, how often, after which waits.

    No try is made once the deadline of the call has passed. With the defaults the waits
    are 0.2, 0.4, 0.8 and 1.6 seconds, each up to a fifth shorter or longer: three
    seconds, in which a server with a small generation restarts, and less than the
    default deadline.

    Raises:
        SettingsInvalid: gRPC would not take a value.
    """

    max_attempts: int = _MAX_ATTEMPTS
    """Tries a call, the first included; 2 to 5."""

    initial_backoff_seconds: float = 0.2
    """The wait before the second try: far below the deadline, far above an answer."""

    max_backoff_seconds: float = 2.0
    """The longest wait between two tries."""

    backoff_multiplier: float = 2.0
    """How much longer each wait is than the one before."""

    codes: tuple[str, ...] = ("UNAVAILABLE", "CANCELLED")
    """Names of the gRPC statuses that are tried again.

    UNAVAILABLE: the server is down, restarts, or has no generation yet. CANCELLED: the
    call reached it in the moment in which it stopped (a call changes nothing, so it may
    be made twice). Others would fail the same way again, or (RESOURCE_EXHAUSTED) become
    worse by more calls.
    """

    def __post_init__(self) -> None:
        _require(2 <= self.max_attempts <= _MAX_ATTEMPTS, "max_attempts", f"2 to {_MAX_ATTEMPTS}")  # noqa: PLR2004  # gRPC's smallest
        _require(self.initial_backoff_seconds > 0, "initial_backoff_seconds", "more than 0")
        _require(
            self.max_backoff_seconds >= self.initial_backoff_seconds,
            "max_backoff_seconds",
            "at least initial_backoff_seconds",
        )
        _require(self.backoff_multiplier > 0, "backoff_multiplier", "more than 0")
        known = {status.name for status in grpc.StatusCode} - {"OK"}
        _require(
            bool(self.codes) and set(self.codes) <= known, "codes", "names of gRPC error statuses"
        )

    def service_config(self, service: str) -> str:
        """Return gRPC's service config as JSON, for all methods of `service`."""
        policy = {
            "maxAttempts": self.max_attempts,
            "initialBackoff": f"{self.initial_backoff_seconds:.3f}s",
            "maxBackoff": f"{self.max_backoff_seconds:.3f}s",
            "backoffMultiplier": self.backoff_multiplier,
            "retryableStatusCodes": list(self.codes),
        }
        return json.dumps(
            {
                "methodConfig": [{"name": [{"service": service}], "retryPolicy": policy}],
                "retryThrottling": {"maxTokens": _THROTTLE_TOKENS, "tokenRatio": _THROTTLE_RATIO},
            }
        )


def _require(holds: bool, name: str, wanted: str) -> None:  # noqa: FBT001  # the condition itself
    if not holds:
        raise SettingsInvalid(f"{name} of the retry policy must be {wanted}")


DEFAULT_RETRY = RetryPolicy()
