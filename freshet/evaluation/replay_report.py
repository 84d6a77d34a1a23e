"""Replays a log through three systems, and reports what freshness is worth.

One is rebuilt every night, one is refreshed as clicks come, and one is rebuilt every
night and has the fresh lane.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import click

from freshet.evaluation.event_log import EventLog, open_log, until_stopped
from freshet.evaluation.fits import Shown
from freshet.evaluation.session_rows import session_json, session_table
from freshet.terminal.output import table
from freshet.terminal.progress import progress
from model.evaluation.asked import ReplayPlan
from model.evaluation.prequential import PrequentialReplay, SystemComparison, SystemCost
from model.evaluation.sessions import SessionGain
from model.settings import ModelSettings
from stream.settings import StreamSettings

DEFAULT_REFRESH_EVERY = 1000
"""Clicks from one refresh to the next: a few dozen refreshes on a log of fifty thousand
clicks. Twice as many halve how long a replay takes, and how fresh the system is.
"""
_EFFORT_HEADERS = ("system", "trainings", "refused", "s each")
_DIGITS = 4
"""Decimals in JSON: the intervals are wider than the third, and a round of the fresh
lane takes milliseconds.
"""


def report(
    log: EventLog,
    settings: ModelSettings,
    stream_settings: StreamSettings,
    *,
    refresh_every: int | None,
    days: int | None,
    shown: Shown,
) -> None:
    """Print the scores of all systems on the clicks of a log, each predicted before it
    is learned from.

    Args:
        log: where the graph comes from.
        settings: of the model.
        stream_settings: of the graph.
        refresh_every: clicks from one refresh to the next; None: the default.
        days: only the newest days; None: from the middle of the clicks on.
        shown: as tables or JSON, with progress or without.

    Raises:
        CommandError: the replay was stopped.
        StreamError: the log cannot be read.
        ModelError: a system cannot be trained.
    """
    plan = ReplayPlan(refresh_every=refresh_every or DEFAULT_REFRESH_EVERY, days=days)
    with (
        until_stopped() as stop,
        open_log(log, stream_settings, stop) as graph,
        progress("replaying", "trainings", quiet=shown.quiet) as advance,
    ):
        replay = PrequentialReplay(
            lambda before_ms: graph.arrays(before_ms=before_ms),
            plan,
            settings,
            min_sessions=stream_settings.min_sessions,
            is_cancelled=stop.is_set,
            on_progress=advance,
        )
        comparisons, efforts = replay.run()
    if shown.as_json:
        rows = [
            *map(comparison_json, comparisons),
            *map(effort_json, efforts),
            *map(session_json, replay.session_gains),
        ]
        click.echo("\n".join(json.dumps(row) for row in rows))
    else:
        click.echo(_as_tables(comparisons, efforts, replay.session_gains))


def comparison_json(comparison: SystemComparison) -> dict[str, Any]:
    """Return a segment's figures of one system beside the nightly one as one flat
    object.
    """
    figures = {"segment": comparison.segment, "clicks": comparison.clicks, "days": comparison.days}
    for name, interval in comparison.intervals.items():
        figures |= {
            f"{name}_nightly": round(comparison.nightly[name], _DIGITS),
            f"{name}_{comparison.system}": round(comparison.fresher[name], _DIGITS),
            f"{name}_relative": round(comparison.relative[name], _DIGITS),
            f"{name}_relative_interval": [round(bound, _DIGITS) for bound in interval],
        }
    return figures


def effort_json(effort: SystemCost) -> dict[str, Any]:
    """Return what a system did as one flat object."""
    return {
        "system": effort.system,
        "trainings": effort.trainings,
        "refused": effort.refused,
        "seconds": round(effort.seconds, _DIGITS),
    }


def _as_tables(
    comparisons: Sequence[SystemComparison],
    efforts: Sequence[SystemCost],
    gains: Sequence[SessionGain],
) -> str:
    systems = dict.fromkeys(each.system for each in comparisons)
    tables = [_as_table([each for each in comparisons if each.system == name]) for name in systems]
    efforts_rows = [
        (each.system, f"{each.trainings:,}", str(each.refused), f"{each.seconds:.3g}")
        for each in efforts
    ]
    in_sessions = [session_table(gains)] if gains else []
    return "\n\n".join([*tables, table(_EFFORT_HEADERS, efforts_rows), *in_sessions])


def _as_table(comparisons: Sequence[SystemComparison]) -> str:
    """Return one system beside the nightly one."""
    system = comparisons[0].system
    headers = (
        *("segment", "clicks", "days", "MRR nightly", system, "relative", "95%"),
        *("R@10 nightly", system, "relative", "95%"),
    )
    rows = [
        (
            each.segment,
            f"{each.clicks:,}",
            str(each.days),
            *_cells(each, "mrr"),
            *_cells(each, "recall_10"),
        )
        for each in comparisons
    ]
    return table(headers, rows)


def _cells(comparison: SystemComparison, figure: str) -> Iterator[str]:
    low, high = comparison.intervals[figure]
    yield f"{comparison.nightly[figure]:.3f}"
    yield f"{comparison.fresher[figure]:.3f}"
    yield f"{comparison.relative[figure]:+.1%}"
    yield f"{low:+.1%} to {high:+.1%}"
