"""A tracer that remembers what it was told, for tests of whoever tells it."""

from collections.abc import Sequence
from typing import NamedTuple

from stream.traces.context import TraceContext
from stream.traces.tracer import Attributes, Fan, Stage


class Step(NamedTuple):
    """A step of one record; the fields are those of `Tracer.stage`."""

    stage: Stage
    parent: TraceContext
    begin_ms: int
    end_ms: int
    attributes: Attributes


class RememberingTracer:
    """Keeps what is recorded.

    Attributes:
        steps: of records.
        fans: what took records a step further together, and how many.
    """

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.fans: list[tuple[Fan, int]] = []

    def stage(
        self,
        stage: Stage,
        parent: TraceContext,
        begin_ms: int,
        end_ms: int,
        link: TraceContext | None = None,
        attributes: Attributes | None = None,
    ) -> None:
        """Remember a step."""
        del link
        self.steps.append(Step(stage, parent, begin_ms, end_ms, attributes or {}))

    def fan(
        self,
        fan: Fan,
        members: Sequence[TraceContext],
        begin_ms: int,
        end_ms: int,
        attributes: Attributes | None = None,
    ) -> TraceContext | None:
        """Remember how many took a step together."""
        del begin_ms, end_ms, attributes
        self.fans.append((fan, len(members)))
        return None
