"""Learns from servers what they are asked most, beside other work."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from threading import Event, Thread

logger = logging.getLogger(__name__)

# Seconds that a server may take to answer; on one network it takes milliseconds. Twice
# as many: one that hangs delays the others' counts by so much.
_TIMEOUT_SECONDS = 2.0

Counts = Mapping[str, float]


@contextmanager
def most_asked(targets: Sequence[str], every_seconds: float) -> Iterator[Callable[[], Counts]]:
    """Yield what returns how often each query was asked lately, over all servers.

    They are asked in a thread of their own; one that does not answer counts nothing.

    Args:
        targets: gRPC addresses of servers; none: nothing is known.
        every_seconds: time between two rounds of questions.

    Raises:
        ModuleNotFoundError: there are servers to ask, and the client is not installed.
    """
    if not targets:
        yield dict
        return
    import freshet_client  # noqa: F401, PLC0415  # an extra: who asks no server need not have it

    newest: dict[str, Counts] = {}
    stop = Event()
    arguments = (targets, every_seconds, newest, stop)
    thread = Thread(target=_ask_again, args=arguments, name="most-asked", daemon=True)
    thread.start()
    try:
        yield lambda: total_of(list(newest.values()))
    finally:
        stop.set()
        thread.join()


def total_of(counted: Sequence[Counts]) -> Counts:
    """Return the sum of what several servers counted, by query."""
    total: dict[str, float] = {}
    for counts in counted:
        for query, count in counts.items():
            total[query] = total.get(query, 0.0) + count
    return total


def _ask_again(
    targets: Sequence[str], every_seconds: float, newest: dict[str, Counts], stop: Event
) -> None:
    """Keep the newest counts of each server that answers, until told to stop."""
    from freshet_client import Access, ClientError, RetrievalClient  # noqa: PLC0415

    with ExitStack() as stack:
        clients = {
            target: stack.enter_context(
                RetrievalClient(
                    target,
                    timeout_seconds=_TIMEOUT_SECONDS,
                    retry=None,
                    access=Access.from_environment(),
                )
            )
            for target in targets
        }
        while True:
            for target, client in clients.items():
                try:
                    answer = client.asked()
                except ClientError as error:
                    if newest.pop(target, None) is not None:
                        logger.warning("a server does not say what it is asked error=%s", error)
                else:
                    newest[target] = {query: float(count) for query, count in answer.counts.items()}
            if stop.wait(every_seconds):
                return
