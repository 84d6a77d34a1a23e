"""The load that the bench of overload makes, and what it counts."""

import asyncio
from collections import Counter

from bench.overload.load import Callers, Outcome
from testing.retrieval_server import DEADLINE_SECONDS, Serve
from testing.small_generations import Artifacts, make_catalogue


def test_every_call_of_an_open_loop_is_counted_once(artifacts: Artifacts, serve: Serve) -> None:
    """By its status; those that are answered have a latency."""
    artifacts.publish(make_catalogue(30, ["query 0"]))
    address = serve().address

    async def measure() -> Outcome:
        callers = Callers(address, DEADLINE_SECONDS, 2)
        outcome = await callers.open_loop(100.0, 0.5)
        await callers.close()
        return outcome

    outcome = asyncio.run(measure())

    assert set(outcome.codes) == {"OK"}
    assert outcome.codes["OK"] == len(outcome.latencies) > 0
    assert outcome.success == 1.0


def test_success_is_of_all_calls() -> None:
    """Goodput is of those that were answered."""
    outcome = Outcome(
        seconds=2.0, codes=Counter(OK=3, RESOURCE_EXHAUSTED=1), latencies=[0.1, 0.2, 0.3]
    )

    assert outcome.success == 0.75
    assert outcome.goodput == 1.5
    assert outcome.quantile_ms(0.5) == 200.0
