"""How good answers are, from the tuner's evaluation of the live generation."""

import math

from freshet.diagnosis.processes import Facts, Problem
from freshet.probe import Samples

# What the newest generations have lost beyond chance, as in FreshetQualityDropped.
_MOST_LOST = 0.05
# Queries below which nothing is judged, as in `model.live_quality.change`.
_LEAST_QUERIES = 200
_NAMES = {"mrr": "MRR", "recall_10": "Recall@10"}

Bounds = dict[str, float]


def quality_facts(samples: Samples) -> Facts:
    """Return what there is to say of the newest clicks; nothing where nobody looked."""
    queries = _by_label(samples, "freshet_tuner_newest_clicks_queries", "segment")
    if not queries:
        return {}
    return {
        "newest_clicks": _level_text(samples, queries),
        "newest_clicks_known": _known_text(samples, queries),
        "newest_clicks_change": _change_text(samples, "all"),
        "newest_clicks_lost": _lost_text(samples),
    }


def quality_problems(facts: Facts) -> list[Problem]:
    """Return what is wrong with answers, by `quality_facts`."""
    lost = facts.get("newest_clicks_lost")
    if not lost:
        return []
    return [
        Problem(
            text=f"answers to the newest clicks are worse than those of the generations before: "
            f"{lost}",
            step="compare `freshet generations show ID --artifacts DIR` of the newest "
            "generations; `freshet generations pin ID --artifacts DIR` keeps a good one live",
            runbook="FreshetQualityDropped",
        )
    ]


def _level_text(samples: Samples, queries: Bounds) -> str:
    num = queries.get("all", 0.0)
    if num < _LEAST_QUERIES:
        return f"of {num:.0f} queries, too few to judge ({_LEAST_QUERIES})"
    return f"{_figures(samples, 'all')}, of {num:.0f} queries"


def _known_text(samples: Samples, queries: Bounds) -> str | None:
    num = queries.get("known", 0.0)
    if num < _LEAST_QUERIES:
        return None
    return f"{_figures(samples, 'known')}, of {num:.0f} queries"


def _figures(samples: Samples, segment: str) -> str:
    name = "freshet_tuner_newest_clicks_quality"
    parts = []
    for figure, title in _NAMES.items():
        found = _bounds(samples, name, segment, figure)
        parts.append(f"{title} {found['mean']:.3f} ({found['low']:.3f} to {found['high']:.3f})")
    return ", ".join(parts)


def _change_text(samples: Samples, segment: str) -> str | None:
    found = _bounds(samples, "freshet_tuner_newest_clicks_change", segment, "mrr")
    if math.isnan(found["mean"]):
        return None
    return f"MRR {found['mean']:+.1%} ({found['low']:+.1%} to {found['high']:+.1%})"


def _lost_text(samples: Samples) -> str | None:
    """Return which figures have dropped beyond chance; None: none has."""
    lost = []
    for segment in ("all", "known"):
        for figure, title in _NAMES.items():
            found = _bounds(samples, "freshet_tuner_newest_clicks_change", segment, figure)
            if found["high"] < -_MOST_LOST:
                lost.append(f"{title} of {segment} queries {found['mean']:+.0%}")
    return ", ".join(lost) or None


def _bounds(samples: Samples, name: str, segment: str, figure: str) -> Bounds:
    found = {
        labels["bound"]: value
        for labels, value in samples.get(name, [])
        if labels["segment"] == segment and labels["figure"] == figure
    }
    return {bound: found.get(bound, math.nan) for bound in ("low", "mean", "high")}


def _by_label(samples: Samples, name: str, label: str) -> Bounds:
    return {labels[label]: value for labels, value in samples.get(name, [])}
