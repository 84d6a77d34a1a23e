"""Training on another device than the CPU.

Nothing is left behind, and the same comes out.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from model.artifact.generation import Generation
from model.settings import ModelSettings
from model.training import train as training
from model.training.result import TrainedModel
from model.training.train import train
from stream.graph.arrays import GraphArrays
from testing.small_shop import MakeArrays, click, shop_events, shop_items
from testing.stand_ins.other_device import TwoPlacesError, device_elsewhere

VARIANTS: dict[str, dict[str, object]] = {
    "full": {},
    "negatives": {"num_negatives": 8, "content_loss": 0.0},
    "pre-training": {"pretrain_passes": 1},
    "bipartite alone": {"use_hypergraph": False},
    "text alone": {"use_hypergraph": False, "use_bipartite": False, "use_ids": False},
    "sampled": {"propagation": "sampled", "num_neighbours": 5},
}


@pytest.fixture
def quick(settings: ModelSettings) -> ModelSettings:
    """Return settings of a training that makes a few steps of each kind."""
    return replace(settings, max_passes=2, newest_passes=1, warm_passes=1)


def both(
    monkeypatch: pytest.MonkeyPatch, run: Callable[[], TrainedModel]
) -> tuple[TrainedModel, TrainedModel]:
    """Return what comes out on the CPU, and elsewhere."""
    here = run()
    with device_elsewhere(monkeypatch) as device:
        monkeypatch.setattr(training, "_pick_device", lambda _: device)
        return here, run()


def same(left: TrainedModel, right: TrainedModel) -> bool:
    """Whether two trainings came to the same."""
    names = ("query_vectors", "item_vectors", "query_attention", "item_attention")
    vectors = all(np.array_equal(getattr(left, name), getattr(right, name)) for name in names)
    return vectors and all(np.array_equal(left.warm[name], right.warm[name]) for name in left.warm)


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=list(VARIANTS))
def test_a_training_elsewhere_is_the_same(
    arrays: GraphArrays,
    quick: ModelSettings,
    changes: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every tensor of a step is where the network is, or is sent there."""
    settings = replace(quick, **changes)  # type: ignore[arg-type]

    assert same(*both(monkeypatch, lambda: train(arrays, settings)))


def test_a_refresh_elsewhere_is_the_same(
    generation: Generation,
    make_arrays: MakeArrays,
    quick: ModelSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With new nodes and features, and known ones from the parent."""
    new = [click(10**9 + n, f"new{n}", f"zorb number {n}", "zorb") for n in range(30)]
    grown = make_arrays([*shop_events(400), *new], shop_items())

    here, there = both(monkeypatch, lambda: train(grown, quick, warm=generation))

    assert here.parent == there.parent == generation.id
    assert same(here, there)


def test_what_would_fail_on_a_gpu_fails_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the tests above would say nothing."""
    here = torch.arange(3.0)
    with device_elsewhere(monkeypatch) as device:
        there = here.to(device)
        assert there.device == device
        assert (there + 1.0).device == (there * torch.tensor(2.0)).device == device
        assert there[torch.tensor([2, 0])].cpu().tolist() == [2.0, 0.0]
        mixtures: tuple[Callable[[], torch.Tensor], ...] = (
            lambda: there + here,
            lambda: here[torch.tensor([0]).to(device)],
            lambda: torch.addmm(there, here[:, None], there[None]),
            lambda: there.index_put((torch.tensor([0]),), here[:1]),
        )
        for mixed in mixtures:
            with pytest.raises(TwoPlacesError):
                mixed()
