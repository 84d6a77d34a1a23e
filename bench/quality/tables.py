"""Figures of quality as tables in Markdown, as docs/benchmarks.md has them."""

from collections.abc import Iterator, Mapping, Sequence

from model.evaluation.evaluation import ModelDifference, ModelScore, TitleScore
from model.evaluation.holdout import SEGMENTS
from model.evaluation.own_titles import TITLE_SEGMENTS
from model.evaluation.prequential import SystemComparison, SystemCost

_FIGURES = {"mrr": "MRR", "recall_10": "R@10", "recall_100": "R@100"}


def quality_table(log: str, scores: Sequence[ModelScore], titles: Sequence[TitleScore]) -> str:
    """Return MRR, Recall@10 and Recall@100 of each model, a row a segment, and below
    what it finds by titles: the share among the first ten, and the median rank.

    The best of a row are bold; segments without pairs are left out.

    Args:
        log: its name.
        scores: the means of all models.
        titles: the means of all models.
    """
    models = list(dict.fromkeys(score.model for score in scores))
    of_pairs = {(score.model, score.segment): score for score in scores}
    of_titles = {(score.model, score.segment): score for score in titles}
    rows = []
    for segment in SEGMENTS:
        row = [of_pairs[model, segment] for model in models]
        if row[0].edges:
            cells = [[score.figures[figure] for figure in _FIGURES] for score in row]
            rows.append((log, _titled(segment, row[0].edges), *_best_bold(cells)))
    for segment in TITLE_SEGMENTS:
        if (models[0], segment) in of_titles:
            asked = [of_titles[model, segment] for model in models]
            shares = _best_bold([[score.found] for score in asked])
            ranks = (
                f"{share}, {each.median_rank:g}" for share, each in zip(shares, asked, strict=True)
            )
            rows.append((log, f"{_titled(segment, asked[0].titles)}: first ten, rank", *ranks))
    seconds = (f"{of_pairs[model, 'all'].seconds:.0f}" for model in models)
    rows.append((log, "seconds of a fit", *seconds))
    return _markdown(("log", f"{' / '.join(_FIGURES.values())} (pairs)", *models), rows)


def difference_table(
    log: str, differences: Sequence[ModelDifference], scores: Sequence[ModelScore]
) -> str:
    """Return by how much a model is above another, a row a segment: the difference, its
    95% interval, and the share that it is of the other's figure.

    Args:
        log: its name.
        differences: of one model and another, by pairs.
        scores: the means of all models.
    """
    of_pairs = {(score.model, score.segment): score for score in scores}
    pair = f"{differences[0].model} less {differences[0].against}"
    rows = [
        (log, _titled(each.segment, base.edges), *_difference_cells(each, base.figures))
        for each in differences
        if (base := of_pairs[each.against, each.segment]).edges
    ]
    return _markdown(("log", f"{pair} (pairs)", *_FIGURES.values()), rows)


def replay_table(comparisons: Sequence[SystemComparison], efforts: Sequence[SystemCost]) -> str:
    """Return what a system and the nightly one are worth by segment, and below what all
    did.
    """
    rows = [
        (
            each.segment.replace("_", " "),
            f"{each.clicks:,}",
            *_replay_cells(each, "mrr"),
            *_replay_cells(each, "recall_10"),
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


def _best_bold(cells: Sequence[Sequence[float]]) -> Iterator[str]:
    """Yield a row's cells, each of several figures; the best of each figure is bold."""
    best = [max(column) for column in zip(*cells, strict=True)]
    for figures in cells:
        yield " / ".join(
            f"**{_short(figure)}**" if figure == most else _short(figure)
            for figure, most in zip(figures, best, strict=True)
        )


def _difference_cells(difference: ModelDifference, base: Mapping[str, float]) -> Iterator[str]:
    for figure in _FIGURES:
        value, (low, high) = difference.figures[figure], difference.intervals[figure]
        relative = f", {value / base[figure]:+.0%}" if base[figure] else ""
        yield f"{_signed(value)} ({_signed(low)} to {_signed(high)}){relative}"


def _replay_cells(comparison: SystemComparison, figure: str) -> tuple[str, str, str]:
    low, high = comparison.intervals[figure]
    return (
        _short(comparison.nightly[figure]),
        _short(comparison.fresher[figure]),
        f"{comparison.relative[figure]:+.1%} ({low:+.1%} to {high:+.1%})",
    )


def _titled(segment: str, count: int) -> str:
    return f"{segment.replace('_', ' ')} ({count:,})"


def _short(share: float) -> str:
    """Write a share as ``.502``."""
    return f"{share:.3f}".removeprefix("0")


def _signed(difference: float) -> str:
    """Write a difference as ``+.016``."""
    return f"{difference:+.3f}".replace("0.", ".", 1)


def _markdown(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
