"""Measures one log: every model on its newest part, and its replay."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from bench.quality.logs import QualityLog
from bench.quality.tables import difference_table, quality_table, replay_table
from freshet.evaluation.holdout_report import (
    difference_json,
    lost_line,
    score_json,
    split_graph,
    title_json,
)
from freshet.evaluation.replay_report import comparison_json, effort_json
from freshet.evaluation.session_rows import session_json
from model.evaluation.asked import ReplayPlan
from model.evaluation.evaluation import MEAN, Evaluation, ModelDifference
from model.evaluation.holdout import SEGMENTS
from model.evaluation.prequential import PrequentialReplay
from model.settings import ModelSettings
from stream.reading.reader import GraphReader

_JUDGED = "full"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured.

    Attributes:
        settings: size and budget of the models; the first seed.
        models: to judge; none: nothing is judged.
        against: which of them have a table of what the full model is above them.
        seeds: fits of a model.
        views_seed: which clicks a log with a share of views hides.
    """

    settings: ModelSettings
    models: list[str]
    against: list[str]
    seeds: int
    views_seed: int


def judge(log: QualityLog, graph: GraphReader, plan: Plan) -> Iterator[str]:
    """Yield the tables of all models on a log, and what the full one loses; print each
    row as it is known.
    """
    validation, test = split_graph(graph, log.views(plan.views_seed))
    seeds = range(plan.settings.seed, plan.settings.seed + plan.seeds)
    evaluation = Evaluation(validation, test, plan.settings, seeds)
    scores, titles = [], []
    for name in plan.models:
        for score in evaluation.judge(name):
            _print(log, score_json(score))
            scores += [score] if score.seed == MEAN else []
        for title in evaluation.own_titles(name):
            _print(log, title_json(title))
            titles += [title] if title.seed == MEAN else []
    yield quality_table(log.name, scores, titles)
    others = [name for name in plan.models if name != _JUDGED and _JUDGED in plan.models]
    differences: list[ModelDifference] = []
    for name in others:
        found = list(evaluation.compare(_JUDGED, name))
        for difference in found:
            _print(log, difference_json(difference))
        differences += found
        if name in plan.against:
            by_pairs = [each for each in found if each.segment in SEGMENTS]
            yield difference_table(log.name, by_pairs, scores)
    if others:
        yield f"{log.name}, {_JUDGED}: {lost_line(differences)}"


def replay(log: QualityLog, graph: GraphReader, plan: Plan, replayed: ReplayPlan) -> Iterator[str]:
    """Yield a table of each system that a log is replayed through; print each row as it
    is known.
    """
    systems = PrequentialReplay(
        lambda before_ms: graph.arrays(before_ms=before_ms), replayed, plan.settings
    )
    comparisons, efforts = systems.run()
    gains = map(session_json, systems.session_gains)
    for row in (*map(comparison_json, comparisons), *map(effort_json, efforts), *gains):
        _print(log, {"refresh_every": replayed.refresh_every, **row})
    for system in dict.fromkeys(each.system for each in comparisons):
        chosen = [each for each in comparisons if each.system == system]
        yield f"{log.name}\n\n{replay_table(chosen, efforts)}"


def _print(log: QualityLog, row: dict[str, object]) -> None:
    print(json.dumps({"log": log.name, **row}), flush=True)
