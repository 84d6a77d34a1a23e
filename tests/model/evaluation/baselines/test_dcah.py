"""The paper's own configuration, on the small shop.

It learns, sees no future, drops nodes altogether.
"""

from dataclasses import replace
from itertools import count

import numpy as np
import pytest
import torch
from torch_geometric.nn import HypergraphConv, SAGEConv

from model.errors import TrainingCancelled
from model.evaluation.baselines import dcah_network
from model.evaluation.baselines.dcah import FittedPaper, PaperRanker, PaperSettings, fit
from model.evaluation.baselines.dcah_network import (
    HypergraphConvolution,
    MeanConvolution,
    PairScorer,
    PaperGraph,
    Scorer,
)
from model.evaluation.baselines.lexical import Popularity
from model.evaluation.holdout import Holdout, split_by_time
from model.evaluation.models import MODELS, FitTask, ranks_of
from model.ranking import quality_of
from model.settings import ModelSettings
from model.training.pretraining import ContrastSettings, draw_view
from stream.reading.reader import open_graph
from stream.settings import StreamSettings
from testing.small_shop import fill_store, shop_events, shop_items

PAPER = ("paper", "paper+dropedge", "paper+pretraining", "paper+pretraining+dropedge")
SETTINGS = PaperSettings(dim=16, num_buckets=1 << 20, learning_rate=0.01, max_passes=100)
QUICK = replace(SETTINGS, drops_edges=True, pretrains=True, max_passes=2)


@pytest.fixture(scope="module")
def holdouts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Holdout, Holdout]:
    """Return the shop's validation and test split."""
    root = tmp_path_factory.mktemp("log") / "store"
    fill_store(root, shop_events(300), shop_items())
    with open_graph(root, StreamSettings()) as graph:
        return split_by_time(lambda before_ms: graph.arrays(before_ms=before_ms))


@pytest.fixture(scope="module")
def quick(holdouts: tuple[Holdout, Holdout]) -> FittedPaper:
    """Return a network that was pre-trained and trained for two passes."""
    return _fit(holdouts[0], QUICK)


@pytest.mark.parametrize("scorer", ["product", "concatenation"])
def test_it_learns_what_fits(holdouts: tuple[Holdout, Holdout], scorer: Scorer) -> None:
    """On pairs that nothing has seen it is far above popularity,
    itself above chance.
    """
    validation, test = holdouts
    fitted = _fit(validation, replace(SETTINGS, scorer=scorer, drops_edges=True))
    found, popular = (
        quality_of(ranks_of(ranker, test), test.query).mrr
        for ranker in (PaperRanker(test, fitted.network), Popularity(test))
    )

    assert 0 < fitted.passes <= SETTINGS.max_passes
    assert found > 1.5 * popular


@pytest.mark.parametrize("name", PAPER)
def test_fitting_never_looks_at_the_test_pairs(
    name: str, holdouts: tuple[Holdout, Holdout], settings: ModelSettings
) -> None:
    """Other test pairs, the same model."""
    validation, test = holdouts
    shuffled = replace(test, query=test.query[::-1].copy(), item=np.zeros_like(test.item))
    one_pass_each = replace(settings, budget_seconds=0.0)
    honest, other = (
        MODELS[name].fit(FitTask(validation=validation, test=asked, settings=one_pass_each))[0]
        for asked in (test, shuffled)
    )

    assert np.array_equal(honest.scores(np.arange(5)), other.scores(np.arange(5)))


def test_only_the_plain_one_is_judged_where_no_model_is_named() -> None:
    """The variants cost as much again, each."""
    assert [name for name in PAPER if MODELS[name].is_default] == ["paper"]


def test_a_seed_decides_everything(holdouts: tuple[Holdout, Holdout], quick: FittedPaper) -> None:
    """The same seed gives the same scores, another one others."""
    validation, test = holdouts
    same, other = (_fit(validation, replace(QUICK, seed=seed)) for seed in (0, 1))
    queries = np.arange(len(test.texts))
    first, second, third = (
        PaperRanker(test, each.network).scores(queries) for each in (quick, same, other)
    )

    assert np.array_equal(first, second)
    assert not np.array_equal(first, third)


@pytest.mark.parametrize(
    "off", [replace(QUICK, drops_edges=False), replace(QUICK, pretrains=False)]
)
def test_each_switch_does_something(
    holdouts: tuple[Holdout, Holdout], quick: FittedPaper, off: PaperSettings
) -> None:
    """Without it, training ends elsewhere."""
    validation, test = holdouts
    without = _fit(validation, off)
    ours, theirs = (
        PaperRanker(test, each.network).scores(np.arange(5)) for each in (quick, without)
    )

    assert not np.array_equal(ours, theirs)


def test_a_dropped_node_is_dropped_in_both_channels(
    holdouts: tuple[Holdout, Holdout], quick: FittedPaper
) -> None:
    """No edge and no incidence of a view has it.

    Its vector is that of a query that is new to the graph.
    """
    arrays = holdouts[0].arrays
    graph = PaperGraph(arrays, num_queries=arrays.num_queries + 1)
    torch.manual_seed(0)
    view = draw_view(graph.everything(), ContrastSettings(edge_dropout=0.2, node_dropout=0.3))
    dropped = torch.nonzero(view.node == 0).flatten()
    everyone = torch.ones(graph.num_nodes, 1)
    spoken = torch.zeros(graph.num_nodes, 1)
    spoken[dropped] = 1.0
    messages = graph.open(view)

    assert torch.isin(graph.edge, dropped).any()
    assert torch.isin(graph.incidence[0], dropped).any()
    for hear in (messages.along_edges, messages.along_hyperedges):
        assert not hear(everyone)[dropped].any()
        assert not hear(spoken).any()
    query = int(dropped[0])
    texts = [*arrays.query_texts, arrays.query_texts[query], *arrays.item_titles]
    vectors = quick.network(quick.network.features(texts), graph, view)
    assert torch.allclose(vectors[query], vectors[arrays.num_queries], atol=1e-6)


def test_layers_are_those_of_pytorch_geometric(holdouts: tuple[Holdout, Holdout]) -> None:
    """The public code of the paper uses these; so do ours, by other products, over what
    a view shows.
    """
    arrays = holdouts[0].arrays
    graph = PaperGraph(arrays, num_queries=arrays.num_queries + 1)
    torch.manual_seed(0)
    view = draw_view(graph.everything(), ContrastSettings(edge_dropout=0.3, node_dropout=0.0))
    x = torch.randn(graph.num_nodes, 6)
    sage, convolution = SAGEConv(6, 6), HypergraphConv(6, 6)
    mean, hypergraph = MeanConvolution(6), HypergraphConvolution(6)
    mean.neighbours.load_state_dict(sage.lin_l.state_dict())
    mean.own.load_state_dict(sage.lin_r.state_dict())
    hypergraph.load_state_dict(
        {"weight.weight": convolution.lin.weight, "bias": torch.full_like(convolution.bias, 0.5)}
    )
    convolution.bias.data.fill_(0.5)
    edge = graph.edge[:, view.edge > 0]
    incidence = graph.incidence[:, view.hyperedge[graph.incidence[1]] > 0]

    assert torch.allclose(
        mean(x, graph.open(view)), sage(x, torch.cat([edge, edge.flip(0)], dim=1)), atol=1e-5
    )
    assert torch.allclose(
        hypergraph(x, graph.open(view)),
        convolution(x, incidence, num_edges=graph.num_hyperedges),
        atol=1e-5,
    )


def test_without_its_hypergraph_sessions_say_nothing(holdouts: tuple[Holdout, Holdout]) -> None:
    """The same scores whatever the sessions hold; with it, others."""
    validation, _ = holdouts
    arrays = validation.arrays
    alone = replace(
        validation,
        arrays=replace(
            arrays,
            incidence_session=arrays.incidence_session[:0],
            incidence_item=arrays.incidence_item[:0],
            incidence_ms=arrays.incidence_ms[:0],
        ),
    )
    settings = replace(SETTINGS, max_passes=1, has_hypergraph=False)
    with_it = replace(settings, has_hypergraph=True)
    pairs = [_fit(validation, settings), _fit(validation, with_it)]
    for fitted, is_alike in zip(pairs, (True, False), strict=True):
        queries = np.arange(5)
        ours, theirs = (
            PaperRanker(each, fitted.network).scores(queries) for each in (validation, alone)
        )
        assert np.array_equal(ours, theirs) == is_alike


def test_sessions_of_items_alone_leave_queries_out(holdouts: tuple[Holdout, Holdout]) -> None:
    """As in the paper: items stay where they were."""
    arrays = holdouts[0].arrays
    size = arrays.num_queries
    both = PaperGraph(arrays, num_queries=size)
    items = PaperGraph(arrays, num_queries=size, sessions_hold_queries=False)

    assert (both.incidence[0] < size).any()
    assert torch.equal(items.incidence, both.incidence[:, both.incidence[0] >= size])


def test_new_queries_are_heard_by_the_words_that_were_learnt(
    holdouts: tuple[Holdout, Holdout], quick: FittedPaper
) -> None:
    """A word from the past says something, one from nowhere nothing."""
    arrays = holdouts[0].arrays
    asked = replace(holdouts[0], texts=[*arrays.query_texts, "", "qqqq", "lamp"])
    nothing, unknown, lamp = PaperRanker(asked, quick.network).scores(
        np.arange(3) + arrays.num_queries
    )

    assert np.array_equal(nothing, unknown)
    assert not np.allclose(nothing, lamp)


@pytest.mark.parametrize("reads", ["product", "concatenation"])
def test_a_table_holds_the_scores_of_pairs(reads: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each query with each item, whatever the size of the blocks."""
    torch.manual_seed(0)
    scorer = PairScorer(6, reads)
    query, item = torch.randn(5, 6), torch.randn(7, 6)
    pairs = scorer(query.repeat_interleave(7, dim=0), item.repeat(5, 1)).reshape(5, 7)
    for floats in (1, 100, 1 << 22):
        monkeypatch.setattr(dcah_network, "_BLOCK_FLOATS", floats)
        assert torch.allclose(scorer.table(query, item), pairs, atol=1e-6)


def test_the_shortest_budget_still_gives_a_network(holdouts: tuple[Holdout, Holdout]) -> None:
    """One pass is made and judged before the time is looked at."""
    assert fit(holdouts[0], SETTINGS, deadline=0.0, is_cancelled=lambda: False).passes == 1


@pytest.mark.parametrize("settings", [replace(QUICK, pretrains=False), QUICK])
def test_a_fit_ends_between_two_steps(
    holdouts: tuple[Holdout, Holdout], settings: PaperSettings
) -> None:
    """Told to stop at the second step, of the pre-training where there is one."""
    asked = count()

    with pytest.raises(TrainingCancelled):
        fit(holdouts[0], settings, deadline=float("inf"), is_cancelled=lambda: next(asked) == 1)
    assert next(asked) == 2


def _fit(validation: Holdout, settings: PaperSettings) -> FittedPaper:
    return fit(validation, settings, deadline=float("inf"), is_cancelled=lambda: False)
