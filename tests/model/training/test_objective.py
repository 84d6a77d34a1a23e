"""The loss against its formula, edge by edge."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from model.artifact.encoder import TextEncoder
from model.data.training_set import build_training_set
from model.network.whole_graph import Graph
from model.settings import ModelSettings
from model.training.objective import Objective
from model.training.step import Learner
from model.training.warm_start import export_encoder
from stream.graph.arrays import GraphArrays

CPU = torch.device("cpu")


def test_an_edge_is_ranked_against_what_its_query_does_not_know(
    arrays: GraphArrays, settings: ModelSettings
) -> None:
    """Queries that share a batch are scored once.

    The loss and its gradient are those of each edge alone.
    """
    settings = replace(settings, num_titles=0, num_negatives=1000)
    data = build_training_set(arrays, settings)
    learner = Learner(data, settings, CPU)
    part = data.train
    edges = torch.arange(0, len(part.edge_query), 3)
    query, item = (torch.from_numpy(array)[edges] for array in (part.edge_query, part.edge_item))
    assert len(torch.bincount(query).nonzero()) < len(query)
    candidates = torch.arange(part.num_items)
    clicks = torch.bincount(torch.from_numpy(part.edge_item), minlength=part.num_items)
    popularity = clicks.float() / len(part.edge_item)
    known = set(zip(part.edge_query.tolist(), part.edge_item.tolist(), strict=True))

    network = learner.network
    channels = network.propagate(learner.train_graph.reach_all())
    objective = Objective(part, data.titles, settings, CPU)
    found = objective.loss(network, channels, objective.draw(edges))
    # Random items are drawn from a few dozen so often that all of them are candidates.
    expected_count = (len(edges) * popularity + settings.num_negatives / len(candidates))[
        candidates
    ]
    items, _ = network.join(channels, part.num_queries + candidates)
    expected = torch.zeros(())
    for vectors, share in (
        (network.join(channels, query)[0], 1.0),
        (F.normalize(channels.content[query], dim=1), settings.content_loss),
    ):
        scores = vectors @ items.T / network.log_temperature.exp() - expected_count.log()
        for row, (asked, right) in enumerate(zip(query.tolist(), item.tolist(), strict=True)):
            others = [each == right or (asked, each) not in known for each in candidates.tolist()]
            target = torch.searchsorted(candidates[others], torch.tensor(right))
            expected = expected + share * F.cross_entropy(scores[row][others], target) / len(edges)

    torch.testing.assert_close(found, expected)
    parameters = (network.ids, network.content.bag, network.log_temperature)
    for ours, theirs in zip(
        torch.autograd.grad(found, parameters, retain_graph=True),
        torch.autograd.grad(expected, parameters),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def test_a_query_that_knows_every_candidate_has_nothing_to_learn(
    arrays: GraphArrays, settings: ModelSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its loss is zero, and so is its gradient, not NaN."""
    settings = replace(settings, num_titles=0)
    data = build_training_set(arrays, settings)
    learner = Learner(data, settings, CPU)
    objective = Objective(data.train, data.titles, settings, CPU)
    monkeypatch.setattr(
        objective._known,
        "marks",
        lambda query, candidates, _: torch.ones(len(query), len(candidates)).bool(),
    )
    channels = learner.network.propagate(learner.train_graph.reach_all())

    loss = objective.loss(learner.network, channels, objective.draw(torch.arange(5)))
    (gradient,) = torch.autograd.grad(loss, [learner.network.ids])

    assert loss.item() == 0.0
    assert not gradient.any()


def test_a_title_is_ranked_against_all_other_titles(
    arrays: GraphArrays, settings: ModelSettings
) -> None:
    """Of the whole catalogue, whether they were clicked or not; items of the same title
    are no wrong answer.
    """
    titles = [*arrays.item_titles[:-2], arrays.item_titles[0], ""]
    arrays = replace(arrays, item_titles=titles)
    settings = replace(settings, num_titles=1000, title_loss=0.7, num_negatives=0)
    data = build_training_set(arrays, settings)
    part, network = data.train, Learner(data, settings, CPU).network
    channels = network.propagate(Graph(part, CPU).reach_all())
    edges = torch.arange(5)

    def loss(wanted: ModelSettings) -> torch.Tensor:
        objective = Objective(part, data.titles, wanted, CPU)
        return objective.loss(network, channels, objective.draw(edges))

    found = loss(settings) - loss(replace(settings, title_loss=0.0))

    clicks = torch.bincount(torch.from_numpy(part.edge_item), minlength=part.num_items)
    drawn = torch.tensor([bool(title) for title in titles])
    expected_count = len(edges) * clicks.float() / len(part.edge_item)
    expected_count += drawn * 1000 / drawn.sum()
    items, _ = network.join(channels, part.num_queries + torch.arange(part.num_items))
    encoder = TextEncoder(export_encoder(network, data.texts, settings.num_buckets))
    asked = torch.from_numpy(np.stack([encoder.encode(title) for title in titles]))
    scores = asked @ items.T / network.log_temperature.exp() - expected_count.log()
    each = []
    for row in drawn.nonzero()[:, 0].tolist():
        others = [
            column == row or (bool(title) and title != titles[row])
            for column, title in enumerate(titles)
        ]
        each.append(F.cross_entropy(scores[row][others], torch.tensor(sum(others[:row]))))
    torch.testing.assert_close(found, 0.7 * torch.stack(each).mean())
