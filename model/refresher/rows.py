"""What a round recomputed, as the rows of an overlay."""

from typing import NamedTuple

import numpy as np

from model.artifact.overlay.segment import OverlayRows
from model.fresh.result import RoundResult
from model.sums import norms
from stream.dtypes import Bools, Float32s

# Largest error of a vector's length that a reader of segments takes for rounding. The
# readers' own is as large; one that is larger here would stop every publication.
_LENGTH_TOLERANCE = 1e-3


class CheckedRows(NamedTuple):
    """Rows fit to be published, and the names of those that are not."""

    rows: OverlayRows
    unfit: tuple[str, ...]


def checked_rows(result: RoundResult) -> CheckedRows:
    """Return the rows of a round; a vector that is not finite, or no unit vector, would
    have the whole segment refused and is left out.
    """
    fit_items, fit_queries = _is_fit(result.item_vectors), _is_fit(result.query_vectors)
    rows = OverlayRows(
        item_ids=_kept(result.item_ids, fit_items),
        item_titles=_kept(result.item_titles, fit_items),
        item_attributes=_kept(result.item_attributes, fit_items),
        item_shown=result.item_shown[fit_items],
        item_catalog_ms=result.item_catalog_ms[fit_items],
        item_sessions=result.item_sessions[fit_items],
        item_vectors=result.item_vectors[fit_items],
        query_texts=_kept(result.query_texts, fit_queries),
        query_clicks=_kept(result.query_clicks, fit_queries),
        query_vectors=result.query_vectors[fit_queries],
        gone_items=result.gone_items,
        gone_item_ms=result.gone_item_ms,
        gone_queries=result.gone_queries,
    )
    unfit = _kept(result.item_ids, ~fit_items) + _kept(result.query_texts, ~fit_queries)
    return CheckedRows(rows, unfit)


def _is_fit(vectors: Float32s) -> Bools:
    """``bool [n]``; written so that NaN is unfit."""
    return np.asarray(np.abs(norms(vectors) - 1) <= _LENGTH_TOLERANCE, dtype=np.bool_)


def _kept(names: tuple[str, ...], is_kept: Bools) -> tuple[str, ...]:
    return tuple(name for name, kept in zip(names, is_kept.tolist(), strict=True) if kept)
