"""What health checks are told: whether it answers, and by the newest generation."""

from typing import Final

from grpc_health.v1 import health, health_pb2

from server.calls.health import Health
from server.service import SERVICE_NAME

NEWEST_HEALTH: Final = "freshet.newest"
"""Health of the newest generation: NOT_SERVING while an older one answers in its place,
because it is refused.
"""
_NAMES: Final = (health.OVERALL_HEALTH, SERVICE_NAME)
_STATUS: Final = health_pb2.HealthCheckResponse


class Readiness:
    """The health of a server, which has none to answer with at first.

    Attributes:
        service: what answers gRPC's health checks.
    """

    def __init__(self) -> None:
        self.service = Health()
        self.wait()

    def wait(self) -> None:
        """Say that there is nothing to answer with yet."""
        self._set(_STATUS.NOT_SERVING)
        self.newest_refused(is_refused=False)

    def serve(self) -> None:
        """Say that it answers."""
        self._set(_STATUS.SERVING)

    def newest_refused(self, is_refused: bool) -> None:  # noqa: FBT001  # a callback's one argument
        """Say whether the newest generation is refused."""
        self.service.set(NEWEST_HEALTH, _STATUS.NOT_SERVING if is_refused else _STATUS.SERVING)

    def leave(self) -> None:
        """Say that it answers no longer, whatever comes."""
        self.service.enter_graceful_shutdown()

    def _set(self, status: int) -> None:
        for name in _NAMES:
            self.service.set(name, status)
