"""Turns snapshot arrays into a training set: which edges are supervised, which are held
out, which are learned last.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from model.data.graph import GraphPart, graph_part, whole_graph
from model.data.parent import LearnedClicks
from model.data.texts import HashedTexts, hash_texts, item_texts
from model.data.titles import Titles, index_titles, titles_of
from model.settings import ModelSettings
from stream.dtypes import Bools, Int64s
from stream.graph.arrays import GraphArrays

# Held-out edges that the newest share grows to where it has fewer, up to half of all
# facts. Chosen by hand; not tuned. Twice as many: a shop that makes few new edges holds
# more of its facts out.
_ENOUGH_EDGES = 100
# Held-out edges below which nothing is held out, for an MRR over a handful is chance.
# Chosen by hand; not tuned. Twice as many: more small shops train without validation.
_LEAST_EDGES = 20
# Times as often as their share of the catalogue says: below it, items without clicks
# are rarely what is asked for. It is .02 where ranking random items gains much
# (docs/experiments.md), .09 where it gains little and new items lose, and .3 to 1.8
# where it loses; twice as much would do it for the second, too.
_RARELY_ASKED = 0.05
# Times as much as `model.title_loss` says, titles count where random items are ranked:
# these push away what has no clicks, and titles hold it. At 1 own exact titles of items
# without clicks are found .89 of the time in a wide catalogue, at 4 .96 for .01 of MRR;
# twice as much was not measured.
_HELD_BY_TITLES = 4.0
# Share of edges whose query has a word of the item's title, below which titles are
# another language than what is asked in. It is 0 and .01 where training titles costs
# sessions and known queries their say, .35 and .5 where it helps (docs/experiments.md);
# twice as much would be as far from both.
_TITLES_ASKED = 0.1
# Edges that are looked at for it, evenly over all: a tenth of a second, a share that
# is right to half a hundredth. Twice as many: twice as long.
_MOST_LOOKED_AT = 1 << 16


@dataclass(frozen=True, kw_only=True)
class TrainingSet:
    """What one training run learns from.

    Attributes:
        texts: text features of all nodes.
        titles: what items are called, to be asked for by it.
        whole: the graph of all facts, which the exported vectors are propagated over.
        train: the graph without the newest facts; its edges are supervised.
        newest: ``int64 [num_newest]``, the edges of `whole` that the closing passes go
            over: those that `train` lacks, or, in a warm start, the edge of each click
            that the parent has not learned; but for `recent` ones.
        recent: ``bool [num_edges of train]``, those the parent has not learned:
            each pass goes over all of these and a sample of the others. Where few are
            new to it there are no passes.
        validation_query: ``int64 [num_validation]``, query of each held-out edge.
        validation_item: ``int64 [num_validation]``, item of each held-out edge.
        validation_first_ms: ``int64 [num_validation]``, when each held-out edge was
            first seen.
        unseen_since_ms: `train` has no session and no new edge since then; the end of
            time where nothing is held out.
    """

    texts: HashedTexts
    titles: Titles
    whole: GraphPart
    train: GraphPart
    newest: Int64s
    recent: Bools
    validation_query: Int64s
    validation_item: Int64s
    validation_first_ms: Int64s
    unseen_since_ms: int

    @property
    def held_out(self) -> tuple[Int64s, Int64s]:
        """Query and item of each held-out edge, ``int64 [num_validation]`` each."""
        return self.validation_query, self.validation_item

    @property
    def ranks_catalogue(self) -> bool:
        """Whether a step should rank random items of the whole catalogue beside its
        own: where held-out edges lead to items without clicks far more rarely than
        these are in the catalogue. Where they do not, or nothing is held out, being
        without clicks is no evidence against an item.
        """
        has_clicks = np.zeros(self.train.num_items, dtype=np.bool_)
        has_clicks[self.train.edge_item] = True
        if not len(self.validation_item):
            return False
        asked = 1.0 - float(has_clicks[self.validation_item].mean())
        return asked < _RARELY_ASKED * (1.0 - float(has_clicks.mean()))

    @cached_property
    def asks_in_words_of_titles(self) -> bool:
        """Whether queries have words in common with the titles of the items that they
        lead to. Where they do not, such as tags of bands or article numbers for titles,
        to find an item by its title is another task, which takes room from this one.
        """
        query, item = self.whole.edge_query, self.whole.edge_item
        chosen = np.unique(np.linspace(0, len(query) - 1, _MOST_LOOKED_AT).astype(np.int64))
        if not len(query):
            return True
        shared = self.titles.shares_word(self.texts, query[chosen], item[chosen])
        return float(shared.mean()) >= _TITLES_ASKED

    def loss_settings(self, settings: ModelSettings) -> ModelSettings:
        """Return the settings of the loss, by what the held-out edges lead to, and by
        whether queries speak as titles do.
        """
        if not self.ranks_catalogue:
            title_loss = settings.title_loss if self.asks_in_words_of_titles else 0.0
            return replace(settings, num_negatives=0, title_loss=title_loss)
        if not settings.num_negatives:
            return settings
        return replace(settings, title_loss=_HELD_BY_TITLES * settings.title_loss)


def build_training_set(
    arrays: GraphArrays, settings: ModelSettings, learned: LearnedClicks | None = None
) -> TrainingSet:
    """Split the newest facts off for validation and join edges with the sessions that
    made them.

    Args:
        arrays: the merged graph of a snapshot.
        settings: the share that is held out, the number of text buckets.
        learned: what the parent has learned; None: training is from scratch.
    """
    whole = whole_graph(arrays)
    in_share = arrays.edge_first_ms >= _newest_share_ms(arrays, settings)
    few_are_new = learned is not None and bool((learned.sessions == 0).sum() <= in_share.sum())
    is_held_out = _is_held_out(arrays, settings, learned, in_share, few_are_new=few_are_new)
    held_out, known = np.flatnonzero(is_held_out), np.flatnonzero(~is_held_out)
    begin_ms = _begin_ms(arrays, is_held_out, learned)
    sessions = _sessions_before(arrays, is_held_out, begin_ms)
    train = graph_part(arrays, ~is_held_out, sessions) if len(held_out) else whole
    # `known` are the edges of `train`, in its order. An edge is either recent, and in
    # every pass, or new in some of its clicks, and in the closing ones once for each.
    newest, recent = held_out, np.ones(len(known), dtype=np.bool_)
    if learned is not None:
        recent = (learned.sessions[known] == 0) & (not few_are_new)
        clicks = np.maximum(0, arrays.edge_sessions - learned.sessions)
        clicks[known[recent]] = 0
        newest = np.repeat(np.arange(len(clicks)), clicks)
    validated = held_out if len(held_out) >= _LEAST_EDGES else held_out[:0]
    texts, titles = _hash(arrays, settings.num_buckets)
    return TrainingSet(
        texts=texts,
        titles=titles,
        whole=whole,
        train=train,
        newest=newest,
        recent=recent,
        validation_query=arrays.edge_query[validated],
        validation_item=arrays.edge_item[validated],
        validation_first_ms=arrays.edge_first_ms[validated],
        unseen_since_ms=begin_ms,
    )


def _hash(arrays: GraphArrays, num_buckets: int) -> tuple[HashedTexts, Titles]:
    """Return the features of all nodes' texts, and those of the titles of items.

    The title of an item that has no more text is its text.
    """
    titles, texts = titles_of(arrays), [*arrays.query_texts, *item_texts(arrays)]
    row = arrays.num_queries + np.arange(arrays.num_items, dtype=np.int64)
    has_more = np.flatnonzero([bool(text) for text in arrays.item_texts])
    row[has_more] = len(texts) + np.arange(len(has_more))
    hashed = hash_texts([*texts, *(titles[item] for item in has_more)], num_buckets)
    return hashed.first(len(texts)), index_titles(titles, hashed, row)


def _is_held_out(
    arrays: GraphArrays,
    settings: ModelSettings,
    learned: LearnedClicks | None,
    in_share: Bools,
    *,
    few_are_new: bool,
) -> Bools:
    """Return ``bool [num_edges]``: which edges are kept from training.

    They are those first seen since the newest share of all facts began, `in_share`; of
    many the newest. Time alone decides, so edges of one millisecond go together; where
    too few or most of all edges would go, none do. What the parent has
    learned is not held out, and where no more are new to it than are in that share,
    they are, what came late as well.
    """
    first_ms, fewest = arrays.edge_first_ms, _LEAST_EDGES
    is_held_out = in_share
    if learned is not None:
        is_new = learned.sessions == 0
        is_held_out, fewest = (is_new, 0) if few_are_new else (is_held_out & is_new, fewest)
    is_held_out = is_held_out & (
        first_ms >= _nth_newest(first_ms[is_held_out], settings.max_validation_edges)
    )
    if not fewest <= np.count_nonzero(is_held_out) <= len(first_ms) // 2:
        is_held_out[:] = False
    return is_held_out


def _newest_share_ms(arrays: GraphArrays, settings: ModelSettings) -> int:
    """Return when the newest share of all facts began.

    A shop with a stable catalogue makes few new edges: then the share grows, up to half
    of the facts, until there are enough to judge by.
    """
    if not len(arrays.fact_ms):
        return 0
    share_ms, half_ms = np.quantile(
        arrays.fact_ms, [1.0 - settings.validation_share, 0.5], method="higher"
    )
    return int(min(share_ms, max(half_ms, _nth_newest(arrays.edge_first_ms, _ENOUGH_EDGES))))


def _nth_newest(times_ms: Int64s, n: int) -> int:
    """Return the n-th newest time, or the oldest where there are fewer.

    0 where there is none.
    """
    place = max(0, len(times_ms) - n)
    return int(np.partition(times_ms, place)[place]) if len(times_ms) else 0


def _begin_ms(arrays: GraphArrays, is_held_out: Bools, learned: LearnedClicks | None) -> int:
    """Return when the held-out time began, after all that the parent has learned."""
    until_ms = learned.until_ms if learned is not None else -1
    times_ms = arrays.edge_first_ms[is_held_out]
    return int(times_ms[times_ms > until_ms].min(initial=np.iinfo(np.int64).max))


def _sessions_before(arrays: GraphArrays, is_held_out: Bools, begin_ms: int) -> Bools:
    """Return ``bool [num_sessions]``: ended before the held-out time began, and made no
    held-out edge.
    """
    before: Bools = arrays.session_last_ms < begin_ms
    before[arrays.fact_session[is_held_out[arrays.edge_of_fact]]] = False
    return before
