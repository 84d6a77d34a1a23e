"""Evaluates by the protocol of the paper, and reports the scores and gains by group."""

import json
from collections.abc import Sequence
from typing import Any

import click

from freshet.evaluation.event_log import EventLog, open_log, until_stopped
from freshet.evaluation.fits import Shown
from freshet.process import CommandError
from freshet.terminal.output import table
from freshet.terminal.progress import progress
from model.evaluation.paper.evaluation import MEAN, PaperEvaluation, PaperGain, PaperScore
from model.evaluation.paper.models import MODELS
from model.settings import ModelSettings
from stream.settings import StreamSettings

_HEADERS = ("model", "messages", "group", "pairs", "MRR", "95%", "recall", "95%", "R@10", "fit s")
_GAIN_HEADERS = ("model", "against", "messages", "group", "MRR", "95%", "recall", "95%")
_DIGITS = 4
"""Decimals in JSON: the intervals are wider than the third."""


def report(
    log: EventLog,
    settings: ModelSettings,
    stream_settings: StreamSettings,
    *,
    models: Sequence[str],
    num_seeds: int,
    shown: Shown,
) -> None:
    """Print what each model is worth by the paper's protocol, and its gains.

    Args:
        log: where the graph comes from.
        settings: of the models.
        stream_settings: of the graph.
        models: names of `model.evaluation.paper.models.MODELS`; none: all.
        num_seeds: how often each model is fitted.
        shown: as tables or JSON, with progress or without.

    Raises:
        CommandError: there is no such model, or the evaluation was stopped.
        StreamError: the log cannot be read.
        ModelError: the log is too small, or a model cannot be fitted.
    """
    unknown = sorted(set(models) - set(MODELS))
    if unknown:
        raise CommandError(
            f"the paper's protocol has no model {', '.join(unknown)}; known are {', '.join(MODELS)}"
        )
    names = list(dict.fromkeys(models)) or list(MODELS)
    scores: list[PaperScore] = []
    with until_stopped() as stop, progress("evaluating", "fits", quiet=shown.quiet) as advance:
        with open_log(log, stream_settings, stop) as graph:
            arrays = graph.arrays()
        seeds = range(settings.seed, settings.seed + num_seeds)
        evaluation = PaperEvaluation(arrays, settings, seeds, stop.is_set)
        total, done = evaluation.num_fits(names), 0

        def on_fit() -> None:
            nonlocal done
            done += 1
            advance(done, total)

        advance(done, total)
        for name in names:
            for score in evaluation.judge(name, on_fit):
                scores.append(score)
                if shown.as_json:
                    click.echo(json.dumps(score_json(score)))
    gains = [gain for name in names for gain in evaluation.gains(name)]
    if shown.as_json:
        click.echo("".join(json.dumps(gain_json(gain)) + "\n" for gain in gains), nl=False)
    else:
        click.echo(_as_tables(scores, gains))


def score_json(score: PaperScore) -> dict[str, Any]:
    """Return a model's figures in a group as one flat object."""
    return {
        "model": score.model,
        "messages": score.messages,
        "group": score.group,
        "seed": score.seed,
        "pairs": score.pairs,
        **_rounded(score.figures, score.intervals),
        "seconds": round(score.seconds, 1),
        **({"chosen": score.chosen} if score.chosen else {}),
    }


def gain_json(gain: PaperGain) -> dict[str, Any]:
    """Return the gain of a model over another in a group as one flat object."""
    relative = {f"{name}_relative": value for name, value in gain.figures.items()}
    intervals = {f"{name}_relative": bounds for name, bounds in gain.intervals.items()}
    return {
        "model": gain.model,
        "against": gain.against,
        "messages": gain.messages,
        "group": gain.group,
        **_rounded(relative, intervals),
    }


def _rounded(
    figures: dict[str, float], intervals: dict[str, tuple[float, float]]
) -> dict[str, Any]:
    return {name: round(value, _DIGITS) for name, value in figures.items()} | {
        f"{name}_interval": [round(low, _DIGITS), round(high, _DIGITS)]
        for name, (low, high) in intervals.items()
    }


def _as_tables(scores: Sequence[PaperScore], gains: Sequence[PaperGain]) -> str:
    parts = [table(_HEADERS, [_score_row(score) for score in scores if score.seed == MEAN])]
    if gains:
        parts.append(table(_GAIN_HEADERS, [_gain_row(gain) for gain in gains]))
    return "\n\n".join(parts)


def _score_row(score: PaperScore) -> tuple[str, ...]:
    figures = {name: f"{value:.3f}" for name, value in score.figures.items()}
    bounds = {name: f"{low:.3f} to {high:.3f}" for name, (low, high) in score.intervals.items()}
    return (
        score.model,
        score.messages,
        score.group,
        f"{score.pairs:,}",
        figures["mrr"],
        bounds["mrr"],
        figures["recall"],
        bounds["recall"],
        figures["recall_10"],
        f"{score.seconds:.0f}",
    )


def _gain_row(gain: PaperGain) -> tuple[str, ...]:
    cells: list[str] = []
    for name in ("mrr", "recall"):
        if name in gain.figures:
            low, high = gain.intervals[name]
            cells += [f"{gain.figures[name]:+.1%}", f"{low:+.1%} to {high:+.1%}"]
        else:
            cells += ["from 0", ""]
    return (gain.model, gain.against, gain.messages, gain.group, *cells)
