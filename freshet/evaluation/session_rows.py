"""What the running session brings, as lines of JSON and a table."""

from collections.abc import Sequence
from typing import Any

from freshet.terminal.output import table
from model.evaluation.sessions import SessionGain

_HEADERS = (
    *("in sessions", "seed", "clicks", "sessions", "items", "queries"),
    *("MRR without", "with", "relative", "95%", "R@10 without", "with", "relative", "95%"),
)
_DIGITS = 4
"""Decimals in JSON: the intervals are wider than the third."""


def session_json(gain: SessionGain) -> dict[str, Any]:
    """Return what the running session brings a model as one flat object."""
    figures: dict[str, Any] = {
        "model": gain.model,
        "seed": gain.seed,
        "context_clicks": gain.clicks,
        "context_sessions": gain.sessions,
        "context_weight": round(gain.weights.items, _DIGITS),
        "context_query_weight": round(gain.weights.queries, _DIGITS),
    }
    for name, (low, high) in gain.intervals.items():
        figures |= {
            f"{name}_without": round(gain.without[name], _DIGITS),
            f"{name}_with": round(gain.within[name], _DIGITS),
            f"{name}_relative": round(gain.relative[name], _DIGITS),
            f"{name}_relative_interval": [round(low, _DIGITS), round(high, _DIGITS)],
        }
    return figures


def session_table(gains: Sequence[SessionGain]) -> str:
    """Return a row a model, or system, and seed."""
    return table(_HEADERS, [_row(each) for each in gains])


def _row(gain: SessionGain) -> tuple[str, ...]:
    figures = []
    for name, (low, high) in gain.intervals.items():
        figures += [
            f"{gain.without[name]:.3f}",
            f"{gain.within[name]:.3f}",
            f"{gain.relative[name]:+.1%}",
            f"{low:+.1%} to {high:+.1%}",
        ]
    weights = (f"{weight:g}" for weight in gain.weights)
    counts = (f"{gain.clicks:,}", f"{gain.sessions:,}")
    return (gain.model, str(gain.seed), *counts, *weights, *figures)
