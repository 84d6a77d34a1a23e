"""Evaluates models on the newest part of a log, and reports their scores."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

from freshet.evaluation.event_log import EventLog, open_log, until_stopped
from freshet.process import CommandError
from freshet.terminal.output import table
from freshet.terminal.progress import progress
from model.evaluation.evaluation import Evaluation, ModelDifference, ModelScore
from model.evaluation.holdout import split_by_time
from model.evaluation.models import MODELS
from model.evaluation.sessions import SessionGain
from model.settings import ModelSettings
from stream.settings import StreamSettings

_JUDGED = "full"
_HEADERS = (
    "model",
    "segment",
    "queries",
    "pairs",
    "MRR",
    "95%",
    "R@10",
    "95%",
    "R@100",
    "NDCG@10",
    "fit s",
)
_DIFFERENCE_HEADERS = (f"{_JUDGED} against", "segment", "MRR", "95%", "R@10", "95%")
_CHOSEN_HEADERS = ("model", "seed", "chosen on the 10% before")
_SESSION_HEADERS = (
    *("in sessions", "seed", "clicks", "sessions", "items", "queries"),
    *("MRR without", "with", "relative", "95%", "R@10 without", "with", "relative", "95%"),
)
_ALL = "all"
_DIGITS = 4
"""Decimals in JSON: the intervals are wider than the third."""


def report(
    log: EventLog,
    settings: ModelSettings,
    stream_settings: StreamSettings,
    *,
    models: Sequence[str],
    num_seeds: int,
    as_json: bool,
) -> None:
    """Print what each model is worth on the newest part of a log, and how the full
    model compares.

    Args:
        log: where the graph comes from.
        settings: of the models.
        stream_settings: of the graph.
        models: names of `model.evaluation.models.MODELS`; none: those that are judged
            unless others are named.
        num_seeds: how often each model that has a seed is fitted.
        as_json: one JSON object a line instead of tables.

    Raises:
        CommandError: there is no such model, or the evaluation was stopped.
        StreamError: the log cannot be read.
        ModelError: a model cannot be fitted.
    """
    unknown = sorted(set(models) - set(MODELS))
    if unknown:
        raise CommandError(f"there is no model {', '.join(unknown)}; known are {', '.join(MODELS)}")
    names = list(dict.fromkeys(models)) or [
        name for name, model in MODELS.items() if model.is_default
    ]
    scores: list[ModelScore] = []
    with until_stopped() as stop, progress("evaluating", "models") as advance:
        with open_log(log, stream_settings, stop) as graph:
            validation, test = split_by_time(lambda before_ms: graph.arrays(before_ms=before_ms))
        seeds = range(settings.seed, settings.seed + num_seeds)
        evaluation = Evaluation(validation, test, settings, seeds, stop.is_set)
        for place, name in enumerate(names):
            advance(place, len(names))
            for score in evaluation.judge(name):
                scores.append(score)
                if as_json:
                    click.echo(json.dumps(score_json(score)))
    others = [name for name in names if name != _JUDGED and _JUDGED in names]
    differences = [each for name in others for each in evaluation.compare(_JUDGED, name)]
    gains = [each for name in names for each in evaluation.in_sessions(name)]
    if as_json:
        rows = [*map(difference_json, differences), *map(session_json, gains)]
        click.echo("".join(json.dumps(row) + "\n" for row in rows), nl=False)
    else:
        click.echo(_as_tables(scores, differences, gains))


def score_json(score: ModelScore) -> dict[str, Any]:
    """Return a model's figures in a segment as one flat object, on all pairs with the
    settings it chose.
    """
    chosen = {"chosen": score.chosen} if score.chosen and score.segment == _ALL else {}
    return {
        "model": score.model,
        "segment": score.segment,
        "seed": score.seed,
        "queries": score.queries,
        "edges": score.edges,
        **_figures_json(score.figures, score.intervals),
        "seconds": round(score.seconds, 1),
        **chosen,
    }


def difference_json(difference: ModelDifference) -> dict[str, Any]:
    """Return a comparison of two models in a segment as one flat object."""
    return {
        "model": difference.model,
        "against": difference.against,
        "segment": difference.segment,
        **_figures_json(difference.figures, difference.intervals),
    }


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


def _figures_json(
    figures: Mapping[str, float], intervals: Mapping[str, tuple[float, float]]
) -> dict[str, Any]:
    rounded = {name: round(value, _DIGITS) for name, value in figures.items()}
    bounds = {
        f"{name}_interval": [round(low, _DIGITS), round(high, _DIGITS)]
        for name, (low, high) in intervals.items()
    }
    return rounded | bounds


def _as_tables(
    scores: Sequence[ModelScore],
    differences: Sequence[ModelDifference],
    gains: Sequence[SessionGain],
) -> str:
    parts = [
        table(_HEADERS, [_score_row(score) for score in scores if score.intervals]),
        table(_DIFFERENCE_HEADERS, [_difference_row(each) for each in differences]),
        table(_SESSION_HEADERS, [_session_row(each) for each in gains]),
        table(
            _CHOSEN_HEADERS,
            [_chosen_row(each) for each in scores if each.chosen and each.segment == _ALL],
        ),
    ]
    return "\n\n".join(part for part in parts if "\n" in part)


def _chosen_row(score: ModelScore) -> tuple[str, ...]:
    return (
        score.model,
        str(score.seed),
        ", ".join(f"{name} {value:g}" for name, value in score.chosen.items()),
    )


def _session_row(gain: SessionGain) -> tuple[str, ...]:
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


def _score_row(score: ModelScore) -> tuple[str, ...]:
    figures = {name: f"{value:.3f}" for name, value in score.figures.items()}
    bounds = {name: f"{low:.3f} to {high:.3f}" for name, (low, high) in score.intervals.items()}
    return (
        score.model,
        score.segment,
        f"{score.queries:,}",
        f"{score.edges:,}",
        figures["mrr"],
        bounds["mrr"],
        figures["recall_10"],
        bounds["recall_10"],
        figures["recall_100"],
        figures["ndcg_10"],
        f"{score.seconds:.0f}",
    )


def _difference_row(difference: ModelDifference) -> tuple[str, ...]:
    figures = {name: f"{value:+.3f}" for name, value in difference.figures.items()}
    bounds = {
        name: f"{low:+.3f} to {high:+.3f}" for name, (low, high) in difference.intervals.items()
    }
    return (
        difference.against,
        difference.segment,
        figures["mrr"],
        bounds["mrr"],
        figures["recall_10"],
        bounds["recall_10"],
    )
