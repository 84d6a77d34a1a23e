"""Retrieval quality on real logs: ``python -m bench quality``, as `freshet evaluate`
measures it.

Each log is split by time and all models are asked its newest part; then it is replayed
through a system that is refreshed as clicks come, one that is rebuilt every night, and
one with the fresh lane between two nights.
JSON lines are printed as they come, then the tables of docs/benchmarks.md. Settings of
the model come from the environment (`freshet config`).
"""

import argparse
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from freshet.config import load_config
from freshet.evaluation.event_log import EventLog, open_log
from freshet.evaluation.holdout_report import difference_json, score_json
from freshet.evaluation.replay_report import comparison_json, effort_json
from model.evaluation.asked import ReplayPlan
from model.evaluation.evaluation import MEAN, Evaluation, ModelScore
from model.evaluation.holdout import split_by_time
from model.evaluation.models import MODELS
from model.evaluation.prequential import PrequentialReplay, SystemComparison, SystemCost
from model.settings import ModelSettings
from stream.graph.arrays import GraphArrays
from stream.settings import StreamSettings

Read = Callable[[int | None], GraphArrays]

_LOGS = ("bestbuy_xbox", "lastfm_hetrec")
# The others have no times within a day.
_REPLAYED = ("bestbuy_xbox",)
_JUDGED = "full"
_COLUMNS = (
    "all",
    "frequent_queries",
    "rare_queries",
    "new_queries",
    "rare_items",
    "new_items",
    "isolated",
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is measured with.

    Attributes:
        model: size and budget; the first seed.
        stream: of the scratch store.
    """

    model: ModelSettings
    stream: StreamSettings


def run(argv: Sequence[str]) -> None:
    """Measure, print JSON lines, then the tables."""
    options = _parse(argv)
    config = load_config(None, os.environ)
    settings = Settings(model=config.model(budget_seconds=options.budget), stream=config.stream())
    tables: list[str] = []
    for log in options.logs:
        folder = (options.data or data_folder()) / log
        files = EventLog(
            graph=None, events=[folder / "events.jsonl.gz"], items=[folder / "items.jsonl.gz"]
        )
        with open_log(files, settings.stream, Event()) as graph:
            tables += _measure(
                log, lambda before_ms: graph.arrays(before_ms=before_ms), settings, options
            )
    print("\n\n".join(tables))


def _measure(
    log: str, read: Read, settings: Settings, options: argparse.Namespace
) -> Iterator[str]:
    """Yield the tables of one log."""
    if options.models:
        yield f"{log}\n\n{quality_table(_evaluate(log, read, settings, options))}"
    if log in options.replay:
        plan = ReplayPlan(refresh_every=options.refresh_every, days=options.days)
        comparisons, efforts = _replay(log, read, settings, plan)
        for system in dict.fromkeys(each.system for each in comparisons):
            chosen = [each for each in comparisons if each.system == system]
            yield f"{log}\n\n{replay_table(chosen, efforts)}"


def _evaluate(
    log: str, read: Read, settings: Settings, options: argparse.Namespace
) -> list[ModelScore]:
    """Return the means of all models; print each row as it is known."""
    validation, test = split_by_time(read)
    seeds = range(settings.model.seed, settings.model.seed + options.seeds)
    evaluation = Evaluation(validation, test, settings.model, seeds)
    means = []
    for name in options.models:
        for score in evaluation.judge(name):
            _print({"log": log, **score_json(score)})
            if score.seed == MEAN:
                means.append(score)
    for name in options.models if _JUDGED in options.models else ():
        for difference in evaluation.compare(_JUDGED, name) if name != _JUDGED else ():
            _print({"log": log, **difference_json(difference)})
    return means


def _replay(
    log: str, read: Read, settings: Settings, plan: ReplayPlan
) -> tuple[Sequence[SystemComparison], Sequence[SystemCost]]:
    comparisons, efforts = PrequentialReplay(read, plan, settings.model).run()
    for row in (*map(comparison_json, comparisons), *map(effort_json, efforts)):
        _print({"log": log, "refresh_every": plan.refresh_every, **row})
    return comparisons, efforts


def quality_table(means: Sequence[ModelScore]) -> str:
    """Return MRR and Recall@10 of each model by segment as Markdown.

    The best of a column are bold.
    """
    score_of = {(score.model, score.segment): score for score in means}
    names = list(dict.fromkeys(score.model for score in means))
    best = {
        (segment, figure): max(score_of[name, segment].figures[figure] for name in names)
        for segment in _COLUMNS
        for figure in ("mrr", "recall_10")
    }

    def cell(name: str, segment: str) -> str:
        figures = score_of[name, segment].figures
        return " / ".join(
            f"**{_short(figures[figure])}**"
            if figures[figure] == best[segment, figure]
            else _short(figures[figure])
            for figure in ("mrr", "recall_10")
        )

    pairs = [
        f"{segment.replace('_', ' ')} ({score_of[names[0], segment].edges:,})"
        for segment in _COLUMNS
    ]
    rows = [
        (
            name,
            *(cell(name, segment) for segment in _COLUMNS),
            f"{score_of[name, 'all'].seconds:.0f}",
        )
        for name in names
    ]
    return _markdown(("MRR / R@10 (pairs)", *pairs, "s"), rows)


def replay_table(comparisons: Sequence[SystemComparison], efforts: Sequence[SystemCost]) -> str:
    """Return what a system and the nightly one are worth by segment as Markdown, and
    below what all did.
    """
    rows = [
        (
            each.segment.replace("_", " "),
            f"{each.clicks:,}",
            *_cells(each, "mrr"),
            *_cells(each, "recall_10"),
        )
        for each in comparisons
    ]
    done = "; ".join(
        f"{each.system}: {each.trainings} trainings of {each.seconds:.0f} s, {each.refused} refused"
        for each in efforts
    )
    by_figure = [
        f"{figure} {each}"
        for figure in ("MRR", "R@10")
        for each in ("nightly", comparisons[0].system, "relative (95%)")
    ]
    return (
        f"{_markdown(('clicks of', 'number', *by_figure), rows)}\n\n{comparisons[0].days} days; "
        f"{done}"
    )


def _cells(comparison: SystemComparison, figure: str) -> tuple[str, str, str]:
    low, high = comparison.intervals[figure]
    return (
        _short(comparison.nightly[figure]),
        _short(comparison.fresher[figure]),
        f"{comparison.relative[figure]:+.1%} ({low:+.1%} to {high:+.1%})",
    )


def _short(share: float) -> str:
    """Write a share as ``.502``."""
    return f"{share:.3f}".removeprefix("0")


def _markdown(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _print(row: dict[str, object]) -> None:
    print(json.dumps(row), flush=True)


def data_folder() -> Path:
    """Return the folder of event logs: ``FRESHET_DATA``, or the usual place beside the
    repository.
    """
    default = Path(__file__).resolve().parent.parent / ".." / "shared" / "data"
    folder = Path(os.environ.get("FRESHET_DATA", default))
    if not folder.is_dir():
        raise SystemExit(
            f"no event logs at {folder}; give --data a folder of logs, or set FRESHET_DATA to it"
        )
    return folder


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench quality", description=__doc__)
    parser.add_argument(
        "--data", type=Path, help="the folder of logs; FRESHET_DATA where it is left out"
    )
    parser.add_argument("--logs", nargs="+", default=list(_LOGS), help="folders in it")
    defaults = [name for name, model in MODELS.items() if model.is_default]
    parser.add_argument("--models", nargs="*", default=defaults, choices=list(MODELS))
    parser.add_argument("--seeds", type=int, default=3, help="fits of a model")
    parser.add_argument("--budget", type=float, default=600.0, help="seconds, at most, of one fit")
    parser.add_argument(
        "--replay", nargs="*", default=list(_REPLAYED), help="which of the logs to replay"
    )
    parser.add_argument(
        "--refresh-every", type=int, default=200, help="clicks from one refresh to the next"
    )
    parser.add_argument("--days", type=int, default=14, help="replay the newest so many")
    return parser.parse_args(argv)
