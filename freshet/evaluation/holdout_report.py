"""Evaluates models on the newest part of a log, and reports their scores."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

from freshet.evaluation.event_log import EventLog, open_log, until_stopped
from freshet.evaluation.fits import FitLines, PlannedFit, Shown, say_on_stderr
from freshet.evaluation.session_rows import session_json, session_table
from freshet.process import CommandError
from freshet.terminal.output import table
from model.evaluation.evaluation import (
    TITLE_FIGURE,
    Evaluation,
    ModelDifference,
    ModelScore,
    TitleScore,
)
from model.evaluation.hidden_queries import HiddenQueries
from model.evaluation.holdout import Holdout, split_by_time
from model.evaluation.models import MODELS
from model.evaluation.sessions import SessionGain
from model.settings import ModelSettings
from stream.reading.incremental import GraphCache
from stream.reading.reader import GraphReader
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
    "95%",
    "NDCG@10",
    "fit s",
)
_DIFFERENCE_HEADERS = (
    *(f"{_JUDGED} against", "segment", "MRR", "95%", "R@10", "95%", "R@100", "95%"),
)
_TITLE_HEADERS = ("asked by its title", "segment", "titles", "first ten", "95%", "median rank")
_TITLE_DIFFERENCE_HEADERS = (f"{_JUDGED} against", "segment", "first ten", "95%")
_CHOSEN_HEADERS = ("model", "seed", "chosen on the 10% before")
_ALL = "all"
_SHOWN = ("mrr", "recall_10", "recall_100")
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
    views: HiddenQueries | None = None,
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
        shown: as tables or JSON, with progress or without.
        views: which search clicks of the past are views to the models; None: none.

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
    say = say_on_stderr(shown)
    with until_stopped() as stop:
        with open_log(log, stream_settings, stop) as graph:
            validation, test = split_graph(graph, views)
        seeds = range(settings.seed, settings.seed + num_seeds)
        evaluation = Evaluation(validation, test, settings, seeds, stop.is_set)
        progress = FitLines(_plan(names, seeds), settings.budget_seconds, say)
        for name in names:
            for score in evaluation.judge(name, progress.before):
                scores.append(score)
                if shown.as_json:
                    click.echo(json.dumps(score_json(score) | views_json(views)))
    others = [name for name in names if name != _JUDGED and _JUDGED in names]
    differences = [each for name in others for each in evaluation.compare(_JUDGED, name)]
    gains = [each for name in names for each in evaluation.in_sessions(name)]
    titles = [each for name in names for each in evaluation.own_titles(name)]
    if shown.as_json:
        rows = [
            *map(title_json, titles),
            *map(difference_json, differences),
            *map(session_json, gains),
        ]
        lines = [json.dumps(row | views_json(views)) + "\n" for row in rows]
        click.echo("".join(lines), nl=False)
        return
    if views:
        click.echo(f"{views_line(views)}\n")
    click.echo(_as_tables(scores, titles, differences, gains))


def _plan(names: Sequence[str], seeds: Sequence[int]) -> list[PlannedFit]:
    """Return the fits of an evaluation in their order."""
    return [
        PlannedFit(model=name, seed=seed, is_trained=MODELS[name].has_seeds)
        for name in names
        for seed in (seeds if MODELS[name].has_seeds else seeds[:1])
    ]


def split_graph(graph: GraphReader, views: HiddenQueries | None = None) -> tuple[Holdout, Holdout]:
    """Return the validation and the test split of a log.

    Args:
        graph: of the log.
        views: which search clicks of each split's past are views to the models; None:
            none.

    Raises:
        EvaluationRefused: there is nothing to evaluate on.
        StoreMismatch: the store has folded facts, which have no times of their own.
    """
    cache = GraphCache()  # the store is read once, not once a moment
    return split_by_time(
        lambda before_ms: graph.arrays(before_ms=before_ms, known=cache),
        (lambda before_ms: graph.arrays(before_ms=before_ms, known=cache, rewrite=views))
        if views
        else None,
    )


def views_json(views: HiddenQueries | None) -> dict[str, Any]:
    """Return what share of the past's search clicks were views, for every line; nothing
    where none were.
    """
    return {"views_share": views.share, "views_seed": views.seed} if views else {}


def views_line(views: HiddenQueries) -> str:
    """Say what share of the past's search clicks were views."""
    return f"{views.share:.0%} of the past's search clicks are views here (seed {views.seed})."


def lost_line(differences: Sequence[ModelDifference]) -> str:
    """Say which figures of which segments the model loses beyond noise, and to what."""
    lost = [
        f"{each.segment} {figure} to {each.against} {each.figures[figure]:+.3f} "
        f"({each.intervals[figure][0]:+.3f} to {each.intervals[figure][1]:+.3f})"
        for each in differences
        for figure in each.lost
    ]
    return f"lost beyond noise: {'; '.join(lost) or 'none'}"


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


def title_json(score: TitleScore) -> dict[str, Any]:
    """Return how well a model finds items by their titles as one flat object."""
    interval = score.interval
    bounds = [round(bound, _DIGITS) for bound in interval] if interval else None
    return {
        "model": score.model,
        "segment": score.segment,
        "seed": score.seed,
        "titles": score.titles,
        TITLE_FIGURE: round(score.found, _DIGITS),
        **({f"{TITLE_FIGURE}_interval": bounds} if bounds else {}),
        "median_rank": score.median_rank,
    }


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
    titles: Sequence[TitleScore],
    differences: Sequence[ModelDifference],
    gains: Sequence[SessionGain],
) -> str:
    by_title = [each for each in differences if TITLE_FIGURE in each.figures]
    by_pair = [each for each in differences if TITLE_FIGURE not in each.figures]
    parts = [
        table(_HEADERS, [_score_row(score) for score in scores if score.intervals]),
        table(_TITLE_HEADERS, [_title_row(each) for each in titles if each.interval]),
        table(_DIFFERENCE_HEADERS, [_difference_row(each, _SHOWN) for each in by_pair]),
        table(
            _TITLE_DIFFERENCE_HEADERS, [_difference_row(each, (TITLE_FIGURE,)) for each in by_title]
        ),
        session_table(gains),
        table(
            _CHOSEN_HEADERS,
            [_chosen_row(each) for each in scores if each.chosen and each.segment == _ALL],
        ),
    ]
    lost = [lost_line(differences)] if differences else []
    return "\n\n".join([*(part for part in parts if "\n" in part), *lost])


def _chosen_row(score: ModelScore) -> tuple[str, ...]:
    return (
        score.model,
        str(score.seed),
        ", ".join(f"{name} {value:g}" for name, value in score.chosen.items()),
    )


def _score_row(score: ModelScore) -> tuple[str, ...]:
    return (
        score.model,
        score.segment,
        f"{score.queries:,}",
        f"{score.edges:,}",
        *(cell for figure in _SHOWN for cell in _cells(score, figure, "")),
        f"{score.figures['ndcg_10']:.3f}",
        f"{score.seconds:.0f}",
    )


def _title_row(score: TitleScore) -> tuple[str, ...]:
    low, high = score.interval or (0.0, 0.0)
    return (
        score.model,
        score.segment,
        f"{score.titles:,}",
        f"{score.found:.3f}",
        f"{low:.3f} to {high:.3f}",
        f"{score.median_rank:g}",
    )


def _difference_row(difference: ModelDifference, figures: Sequence[str]) -> tuple[str, ...]:
    cells = (cell for figure in figures for cell in _cells(difference, figure, "+"))
    return (difference.against, difference.segment, *cells)


def _cells(row: ModelScore | ModelDifference, figure: str, sign: str) -> tuple[str, str]:
    """Return a figure and its interval; the sign is a plus where it is always shown."""
    low, high = row.intervals[figure]
    return f"{row.figures[figure]:{sign}.3f}", f"{low:{sign}.3f} to {high:{sign}.3f}"
