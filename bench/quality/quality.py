"""Retrieval quality on real logs and simulated shops, as `freshet evaluate` measures
it: ``python -m bench quality``.

Each log is split by time and all models are asked its newest part; then some are
replayed through a system that is refreshed as clicks come, one that is rebuilt every
night, and one with the fresh lane between two nights.
JSON lines are printed as they come, then the tables of docs/benchmarks.md. Settings of
the model come from the environment (`freshet config`).

A log is FOLDER[+CATALOGUE][@PERCENT]: a folder with events.jsonl.gz and items.jsonl.gz,
or a shop that is simulated (simulated, simulated_bare); a folder whose items are in the
catalogue besides; how many in a hundred of the past's search clicks are views.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from bench.quality.logs import QualityLog
from bench.quality.measure import Plan, judge, replay
from freshet.config import load_config
from model.evaluation.asked import ReplayPlan
from model.evaluation.models import MODELS

_LOGS = (
    "bestbuy_xbox",
    "bestbuy_xbox+bestbuy_catalogue",
    "lastfm_hetrec",
    "lastfm_hetrec@80",
    "amazon_food_intents",
    "simulated@80",
    "simulated_bare",
    "simulated_bare@80",
    "simulated_bare@95",
)
# The others have no times within a day, or are no real ones.
_REPLAYED = ("bestbuy_xbox",)


def run(argv: Sequence[str]) -> None:
    """Measure, print JSON lines, then the tables."""
    options = _parse(argv)
    config = load_config(None, os.environ)
    plan = Plan(
        settings=config.model(budget_seconds=options.budget),
        models=options.models,
        against=options.against,
        seeds=options.seeds,
        views_seed=options.views_seed,
    )
    replayed = ReplayPlan(refresh_every=options.refresh_every, days=options.days)
    tables: list[str] = []
    for log in options.logs:
        is_replayed = log.name in options.replay
        if plan.models or is_replayed:
            with log.opened(options.data, config.stream()) as graph:
                tables += judge(log, graph, plan) if plan.models else ()
                tables += replay(log, graph, plan, replayed) if is_replayed else ()
    print("\n\n".join(tables))


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench quality",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--data", type=Path, help="the folder of logs; FRESHET_DATA where it is left out"
    )
    parser.add_argument(
        "--logs",
        nargs="+",
        type=QualityLog.named,
        metavar="LOG",
        default=[QualityLog.named(name) for name in _LOGS],
        help=f"as above; {' '.join(_LOGS)} where it is left out",
    )
    defaults = [name for name, model in MODELS.items() if model.is_default]
    parser.add_argument("--models", nargs="*", default=defaults, choices=list(MODELS))
    parser.add_argument(
        "--against",
        nargs="*",
        default=["bipartite"],
        choices=list(MODELS),
        help="models with a table of what the full one is above them, by segment",
    )
    parser.add_argument("--seeds", type=int, default=3, help="fits of a model")
    parser.add_argument("--views-seed", type=int, default=0, help="which clicks are views")
    parser.add_argument("--budget", type=float, default=600.0, help="seconds, at most, of one fit")
    parser.add_argument(
        "--replay", nargs="*", default=list(_REPLAYED), help="which of the logs to replay"
    )
    parser.add_argument(
        "--refresh-every", type=int, default=200, help="clicks from one refresh to the next"
    )
    parser.add_argument("--days", type=int, default=14, help="replay the newest so many")
    return parser.parse_args(argv)
