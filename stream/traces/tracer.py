"""What the stages want of whatever records spans."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Protocol

from stream.traces.context import TraceContext

Attributes = Mapping[str, str | int | float]


class Stage(StrEnum):
    """A step of a record on its way to answers, as its span is called."""

    CONSUME = "freshet consume"
    """From when its broker had it until the stream had it."""

    APPLY = "freshet apply"
    """Until its micro-batch was in the graph, or it in the quarantine."""

    PUBLISH = "freshet publish"
    """Until an overlay on disk vouched for all that had come by its time."""

    SERVE = "freshet serve"
    """Until a server had swapped to that overlay."""

    ANSWER = "freshet answer"
    """Until that server gave its first answer by it."""


class Fan(StrEnum):
    """What takes many records one step further, as its span is called."""

    BATCH = "freshet batch"
    ROUND = "freshet round"
    SWAP = "freshet swap"


class Tracer(Protocol):
    """Records spans; it waits for nobody, and raises nothing."""

    def stage(
        self,
        stage: Stage,
        parent: TraceContext,
        begin_ms: int,
        end_ms: int,
        link: TraceContext | None = None,
        attributes: Attributes | None = None,
    ) -> None:
        """Record that a record took a step.

        Args:
            stage: the step.
            parent: the span of its producer.
            begin_ms: UTC epoch milliseconds.
            end_ms: likewise; where clocks say that it is earlier, the beginning counts.
            link: what it took the step with.
            attributes: what else is known.
        """

    def fan(
        self,
        fan: Fan,
        members: Sequence[TraceContext],
        begin_ms: int,
        end_ms: int,
        attributes: Attributes | None = None,
    ) -> TraceContext | None:
        """Record what took many records a step further: a trace of its own, with a link
        to each. Return its span; None: it is not recorded.
        """
