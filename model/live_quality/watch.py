"""Evaluates the live generation before each run of the tuner, and tells of it."""

import logging
import math

from model.artifact.generation import Generation, open_generation
from model.artifact.store import ArtifactStore
from model.errors import ModelError
from model.live_quality.change import LEAST_QUERIES, Outlook, outlook
from model.live_quality.newest_clicks import Evaluation, Figure, Segment, evaluate_newest
from model.live_quality.past import read_past, with_newest, write_past
from model.metrics import TunerMetrics
from stream.clock import now_ms
from stream.graph.arrays import GraphArrays

logger = logging.getLogger(__name__)


def watch_live_quality(
    store: ArtifactStore,
    parent: Generation | None,
    arrays: GraphArrays,
    most_queries: int,
    metrics: TunerMetrics,
) -> None:
    """Ask the live generation what it has not learned, and tell the metrics how it
    answers beside the generations before it.

    What fails here is counted and logged, and no reason not to train.

    Args:
        store: the artifacts folder.
        parent: the generation that is opened already, live or not.
        arrays: the graph of now.
        most_queries: queries of the evaluation; 0: there is none.
        metrics: of the tuner.
    """
    if not most_queries:
        return
    try:
        live = _live(store, parent)
        newest = evaluate_newest(live, arrays, most_queries, now_ms()) if live else None
        past = read_past(store.root)
        if newest is not None:
            past = with_newest(past, newest)
            write_past(store.root, past)
    except (ModelError, OSError) as error:
        metrics.evaluated("failed")
        logger.warning("live generation not evaluated error=%s", error)
        return
    found = outlook(past)
    metrics.evaluated(_outcome(newest, found))
    metrics.answers_newest(found.num_queries.items(), found.level.items(), found.change.items())
    if newest is not None:
        _log(newest, found)


def _live(store: ArtifactStore, parent: Generation | None) -> Generation | None:
    """Return the live generation; None: there is none yet."""
    current = store.current_id()
    if parent is not None and parent.id == current:
        return parent
    if not current:
        return None
    return open_generation(store.generation_path(current), verify=False, has_fresh=False)


def _outcome(newest: Evaluation | None, found: Outlook) -> str:
    if newest is None:
        return "nothing_new"
    return "judged" if found.is_enough else "too_few"


def _log(newest: Evaluation, found: Outlook) -> None:
    queries = found.num_queries[Segment.ALL]
    level = found.level[Segment.ALL, Figure.MRR]
    change = found.change[Segment.ALL, Figure.MRR]
    logger.info(
        "live generation evaluated generation=%s pairs=%d queries=%d of=%d%s",
        newest.generation_id,
        newest.num_pairs,
        queries,
        LEAST_QUERIES,
        _known(mrr=level.mean, low=level.low, high=level.high, change=change.mean),
    )


def _known(**figures: float) -> str:
    """Return the figures as a log has them, without those that are not known (NaN)."""
    known = {name: value for name, value in figures.items() if not math.isnan(value)}
    return "".join(f" {name}={value:.3f}" for name, value in known.items())
