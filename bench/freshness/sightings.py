"""When a question's answer first showed its probe, and what the answers claimed then.

Times are of this machine's clock, in seconds since 1970 unless they end in ``_ms``.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.freshness.probes import Change, Question

# Seconds between two questions about one probe: a fortieth of the targets. Half as many
# ask twice as often, which the server and this process pay for.
_LEAST_WAIT_SECONDS = 0.05
# By how much the same score may differ: of sums of 128 products in float32, in another
# order. Twice as much would miss twice as small an effect of a click.
_NOISE = 1e-4
# Of a probe's age, where that is more: what takes minutes need not be known to 0.05 s.
_WAIT_SHARE = 0.05


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What an answer showed and claimed.

    Attributes:
        at: when it had come.
        is_found: the item that was looked for is among the first.
        score: its score; None: it is not in the answer at all.
        is_encoded: the query was answered by its text alone.
        is_fresh: it was answered by a vector of the overlay.
        reflected_ms: the time up to which, it says, every record is in it, or every
            state of the catalogue where that is what was asked for; 0: it does not say.
    """

    at: float
    is_found: bool
    score: float | None = None
    is_encoded: bool = False
    is_fresh: bool = False
    reflected_ms: int = 0


@dataclass(frozen=True, kw_only=True)
class Published:
    """When something was published: just before it was sent, and when the broker had
    acknowledged it.
    """

    sent: float
    acknowledged: float


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """One question's story.

    Attributes:
        figure: what it measures.
        published: when its probe was.
        unseen: the last answer that did not show the probe yet; None: the first one
            did.
        seen: the first answer that did; None: none did in time.
        num_answers: how often it was asked.
    """

    figure: str
    published: Published
    unseen: Answer | None
    seen: Answer | None
    num_answers: int

    @property
    def seconds(self) -> float:
        """From just before it was sent to the answer that showed it; infinity: none
        did.
        """
        return self.seen.at - self.published.sent if self.seen else float("inf")

    @property
    def claim_error_seconds(self) -> float | None:
        """By how much the claims of the answers around it are surely wrong.

        An answer that does not show the probe must not claim to reflect the time when
        it had been acknowledged; one that does should not claim less than the time when
        it was sent. None: no answer made a claim, or none showed it.
        """
        if self.seen is None or not self.seen.reflected_ms:
            return None
        too_old = self.published.sent - self.seen.reflected_ms / 1000
        too_new = 0.0
        if self.unseen is not None and self.unseen.reflected_ms:
            too_new = self.unseen.reflected_ms / 1000 - self.published.acknowledged
        return max(0.0, too_old, too_new)

    @property
    def is_overclaimed(self) -> bool:
        """Whether an answer that did not show the probe claimed to reflect it."""
        unseen = self.unseen
        return (
            self.seen is not None
            and unseen is not None
            and unseen.reflected_ms / 1000 > self.published.acknowledged
        )


def shows(change: Change, before: Answer | None, answer: Answer) -> bool:
    """Return whether an answer shows a probe.

    Args:
        change: what must be seen.
        before: the answer before it was published; None: this is that one.
        answer: the answer.
    """
    match change:
        case Change.FOUND:
            return answer.is_found
        case Change.GONE:
            return not answer.is_found
        case Change.OWN_VECTOR:
            return not answer.is_encoded
        case Change.FRESH_VECTOR:
            return answer.is_fresh
        case Change.RISEN:
            least = _least_score(before)
            return least is not None and answer.score is not None and answer.score > least


def _least_score(before: Answer | None) -> float | None:
    """Return the score above which an item has risen; None: it was not scored."""
    return None if before is None or before.score is None else before.score + _NOISE


def follow(
    question: Question,
    before: Answer,
    published: Published,
    ask: Callable[[Question], Answer],
    wait: Callable[[float], object],
    timeout_seconds: float,
) -> Sighting:
    """Ask until the answer shows the probe, or until it has not for too long.

    Args:
        question: what is asked.
        before: the answer before the probe was published.
        published: when the probe was.
        ask: asks the server.
        wait: waits so many seconds.
        timeout_seconds: after which a probe counts as never seen.
    """
    unseen: Answer | None = None
    num_answers = 0
    while True:
        answer = ask(question)
        num_answers += 1
        is_seen = shows(question.change, before, answer)
        age = answer.at - published.sent
        if is_seen or age > timeout_seconds:
            return Sighting(
                figure=question.figure,
                published=published,
                unseen=unseen,
                seen=answer if is_seen else None,
                num_answers=num_answers,
            )
        unseen = answer
        wait(max(_LEAST_WAIT_SECONDS, _WAIT_SHARE * age))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values do not exceed.

    Raises:
        ValueError: there is no value.
    """
    if not values:
        raise ValueError("there is no value")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
