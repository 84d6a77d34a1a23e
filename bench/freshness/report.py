"""Turns sightings into figures."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from bench.figures import Figure
from bench.freshness.probes import (
    DURABLE,
    GONE_ITEM,
    KNOWN_QUERY,
    NEW_ITEM_BY_OTHER_WORDS,
    NEW_ITEM_BY_QUERY,
    NEW_ITEM_BY_TITLE,
    NEW_QUERY,
)
from bench.freshness.sightings import Sighting, percentile

TARGETS: Mapping[str, tuple[float, float] | None] = MappingProxyType(
    {
        DURABLE: (0.3, 1.0),
        NEW_QUERY: (1.5, 4.0),
        KNOWN_QUERY: (1.5, 4.0),
        NEW_ITEM_BY_TITLE: (2.0, 5.0),
        NEW_ITEM_BY_QUERY: (2.0, 5.0),
        GONE_ITEM: (0.7, 1.5),
        NEW_ITEM_BY_OTHER_WORDS: None,
    }
)
"""Seconds that half of the probes, and that all but one in a hundred, may take; None:
there is no target.
"""

_OF_CLICKS = (NEW_QUERY, KNOWN_QUERY, NEW_ITEM_BY_OTHER_WORDS)

CLAIM_TARGET_SECONDS = 0.5
"""By how much what an answer says of its freshness may be off."""


def latency_figures(
    phase: str, sightings: Sequence[Sighting], timeout_seconds: float
) -> Iterator[Figure]:
    """Yield p50, p99 and the largest time of each figure.

    Args:
        phase: under which load.
        sightings: of all probes.
        timeout_seconds: the time of a probe that was never seen.
    """
    for name, targets in TARGETS.items():
        found = [each for each in sightings if each.figure == name]
        if not found:
            continue
        seconds = [min(each.seconds, timeout_seconds) for each in found]
        num_unseen = sum(each.seen is None for each in found)
        note = f"{len(found):,} probes" + (
            f", {num_unseen} not within {timeout_seconds:.0f} s" if num_unseen else ""
        )
        half, nearly_all = (f"<= {target:g}" for target in targets) if targets else ("", "")
        for label, share, target in (
            ("p50", 0.5, half),
            ("p99", 0.99, nearly_all),
            ("most", 1.0, ""),
        ):
            value = _rounded(percentile(seconds, share))
            yield Figure(
                name=f"{phase}: {name}, {label}", value=value, unit="s", target=target, note=note
            )


def claim_figures(phase: str, sightings: Sequence[Sighting]) -> Iterator[Figure]:
    """Yield by how much answers were wrong about their own freshness, of all probes and
    of clicks alone, and how many claimed what they did not show.
    """
    if all(each.claim_error_seconds is None for each in sightings):
        return
    clicks = [each for each in sightings if each.figure in _OF_CLICKS]
    for which, some in (("", sightings), (", of clicks", clicks)):
        errors = [each.claim_error_seconds for each in some]
        known = [error for error in errors if error is not None]
        for label, share in (("p50", 0.5), ("p99", 0.99), ("most", 1.0)) if known else ():
            yield Figure(
                name=f"{phase}: freshness reported against truth{which}, {label}",
                value=_rounded(percentile(known, share)),
                unit="s",
                target=f"<= {CLAIM_TARGET_SECONDS:g}",
                note=f"{len(known):,} probes",
            )
    over = Counter(each.figure for each in sightings if each.is_overclaimed)
    name = f"{phase}: answers that claimed too much"
    note = "; ".join(f"{count} of {figure}" for figure, count in over.items())
    yield Figure(name=name, value=over.total(), unit="", target="0", note=note)


def _rounded(seconds: float) -> float:
    return float(f"{seconds:.3g}")
