"""The sum that is shown before training is about what training then takes, by torch's
own record.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from model.data.graph import GraphPart
from model.data.graph_size import largest_batch
from model.data.texts import HashedTexts
from model.data.titles import Titles
from model.data.training_set import TrainingSet, build_training_set
from model.errors import TrainingRefused
from model.network.sampled import batch_counts
from model.settings import ModelSettings
from model.training.limits.memory_estimate import (
    MemoryEstimate,
    estimate_full,
    estimate_publishing,
    estimate_sampled,
    readable_bytes,
)
from model.training.limits.memory_limit import choose_propagation, free_bytes
from model.training.step import Learner
from model.training.train import train
from stream.graph.arrays import GraphArrays

CPU = torch.device("cpu")
NOT_RECORDED = ("patterns", "edges", "graph to sample from")
SMALL = ModelSettings(
    dim=32,
    hidden=32,
    batch_size=200,
    num_negatives=100,
    num_titles=100,
    num_threads=1,
    device="cpu",
)

FEW = replace(SMALL, batch_size=50, num_negatives=0, num_titles=50)


def random_set(num_queries: int, num_items: int, num_buckets: int, num_edges: int) -> TrainingSet:
    """Return a training set of random edges, hyperedges of three members, texts of six
    features.
    """
    rng = np.random.default_rng(1)
    num_nodes, num_hyperedges = num_queries + num_items, num_queries // 2
    edges = np.unique(rng.integers(0, num_queries * num_items, num_edges))
    members = np.unique(rng.integers(0, num_hyperedges * num_nodes, 3 * num_hyperedges))
    part = GraphPart(
        num_queries=num_queries,
        num_items=num_items,
        edge_query=edges // num_items,
        edge_item=edges % num_items,
        edge_weight=np.ones(len(edges), dtype=np.float32),
        num_hyperedges=num_hyperedges,
        incidence_hyperedge=members // num_nodes,
        incidence_node=members % num_nodes,
        source_edge=np.arange(len(edges)),
        source_hyperedge=rng.integers(0, num_hyperedges, len(edges)),
    )
    term = rng.integers(0, num_nodes, 3 * num_nodes)
    term[::3] = 0  # a word that queries and titles share
    texts = HashedTexts(
        node=np.repeat(np.arange(num_nodes), 3),
        term=term,
        owner=np.repeat(np.arange(num_nodes), 2),
        feature=rng.integers(0, num_buckets, 2 * num_nodes),
        buckets=np.arange(num_buckets),
    )
    titles = Titles(
        item=np.arange(num_items),
        name=np.arange(num_items),
        starts=3 * np.arange(num_items + 1),
        term=texts.term[3 * num_queries :],
    )
    none = np.zeros(0, dtype=np.int64)
    return TrainingSet(
        texts=texts,
        titles=titles,
        whole=part,
        train=part,
        newest=none,
        recent=np.ones(len(edges), dtype=np.bool_),
        validation_query=none,
        validation_item=none,
        validation_first_ms=none,
        unseen_since_ms=np.iinfo(np.int64).max,
    )


def recorded_peak(run: Callable[[], object]) -> int:
    """Return the most bytes that torch had allocated at once on the CPU."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        run()
    assert record.profiler is not None
    events = record.profiler.kineto_results.events()
    return int(np.cumsum([event.nbytes() for event in events if event.name() == "[memory]"]).max())


def step_once(data: TrainingSet, settings: ModelSettings, propagation: str) -> None:
    """Do what a training holds in memory at once.

    State, average, best state, a step.
    """
    learner = Learner(data, settings, CPU, propagation)  # type: ignore[arg-type]
    best = {name: value.clone() for name, value in learner.network.state_dict().items()}
    batch = np.random.default_rng(2).permutation(len(data.train.edge_query))[
        : largest_batch(data, settings)
    ]
    learner.step(batch)
    assert best


def recorded_part(footprint: MemoryEstimate) -> int:
    """Return the bytes of the parts that torch allocates; numpy makes the others."""
    return sum(size for name, size in footprint.parts if name not in NOT_RECORDED)


@pytest.mark.parametrize(
    ("sizes", "changes"),
    [
        ((4000, 2000, 2000, 8000), {}),
        ((4000, 2000, 2000, 8000), {"hidden": 256, "num_layers": 3}),
        ((500, 500, 300, 4000), {"batch_size": 2000, "num_negatives": 500}),
        ((500, 500, 300, 4000), {"batch_size": 2000, "num_negatives": 500, "content_loss": 0.0}),
        ((500, 1500, 300, 4000), {"num_titles": 2000}),
        ((300, 200, 20_000, 1000), {}),
        ((300, 200, 20_000, 1000), {"title_loss": 0.0}),
    ],
    ids=["nodes", "towers", "scores", "no text's scores", "titles", "features", "no titles"],
)
def test_the_sum_is_about_what_a_step_takes(
    sizes: tuple[int, int, int, int], changes: dict[str, float]
) -> None:
    """Whatever part is the largest."""
    data, settings = random_set(*sizes), replace(SMALL, **changes)  # type: ignore[arg-type]

    peak = recorded_peak(lambda: step_once(data, settings, "full"))

    assert 0.85 * peak < recorded_part(estimate_full(data, settings)) < 1.3 * peak


@pytest.mark.parametrize("batch_size", [200, 1500])
def test_pre_training_takes_two_views(batch_size: int) -> None:
    """Far more than a step, and the sum knows it."""
    data = random_set(2000, 2000, 1000, 8000)
    settings = replace(SMALL, pretrain_passes=1, batch_size=batch_size)
    is_over = iter([False, True])

    peak = recorded_peak(lambda: Learner(data, settings, CPU).pretrain(lambda: next(is_over)))

    assert 0.85 * peak < recorded_part(estimate_full(data, settings)) < 1.3 * peak


def test_a_sampled_step_takes_about_what_a_batch_reaches() -> None:
    """Far less than a step over the whole graph, and the sum knows it."""
    data = random_set(6000, 4000, 500, 20_000)
    settings = replace(
        SMALL, batch_size=50, num_negatives=0, num_titles=50, num_layers=1, use_hypergraph=False
    )

    peak = recorded_peak(lambda: step_once(data, settings, "sampled"))

    footprint = estimate_sampled(data, batch_counts(data, settings), settings, on_host=False)
    assert 0.85 * peak < recorded_part(footprint) < 1.3 * peak
    assert recorded_part(footprint) < 0.6 * recorded_part(estimate_full(data, settings))


def test_a_graph_that_fits_is_propagated_over_as_a_whole_and_another_is_sampled() -> None:
    """By the memory that the settings allow."""
    data = random_set(6000, 4000, 500, 20_000)
    settings = replace(
        SMALL,
        batch_size=50,
        num_negatives=0,
        num_titles=50,
        num_layers=1,
        use_hypergraph=False,
        words_dim=0,
    )
    full = estimate_full(data, settings).total_bytes

    def chosen(memory_bytes: int) -> str:
        return choose_propagation(data, replace(settings, memory_bytes=memory_bytes), CPU)

    assert chosen(full) == "full"
    assert chosen(full - 1) == "sampled"
    assert choose_propagation(data, replace(settings, propagation="sampled"), CPU) == "sampled"


@pytest.mark.parametrize(
    ("propagation", "advice"), [("auto", "model.dim"), ("full", "set model.propagation to auto")]
)
def test_a_graph_that_cannot_fit_is_refused_with_the_sum(
    arrays: GraphArrays, settings: ModelSettings, propagation: str, advice: str
) -> None:
    """Before anything is trained.

    The parts, what they come to, what there is, what to do.
    """
    small = replace(settings, memory_bytes=1 << 18, propagation=propagation)

    with pytest.raises(TrainingRefused) as refused:
        train(arrays, small)

    message = str(refused.value)
    data = build_training_set(arrays, settings)
    if propagation == "full":
        assert str(estimate_full(data, small)) in message
    assert "parameters" in message
    assert "cpu has 256 KiB" in message
    assert advice in message
    assert "\n" not in message


def test_pre_training_that_does_not_fit_is_refused() -> None:
    """It is not done over samples."""
    data = random_set(300, 300, 100, 1000)

    with pytest.raises(TrainingRefused, match=r"set model\.pretrain_passes to 0"):
        choose_propagation(data, replace(SMALL, pretrain_passes=1, memory_bytes=1 << 20), CPU)


def test_an_index_that_cannot_be_built_is_refused_before_training() -> None:
    """By a forest that is larger than the model; the advice makes it fit."""
    data = random_set(300, 2000, 100, 3000)
    settings = replace(SMALL, index_engine="annoy", num_trees=1000)
    needs = estimate_publishing(data, settings)
    settings = replace(settings, memory_bytes=needs.total_bytes - 1)

    with pytest.raises(TrainingRefused, match=r"lower model\.num_trees \(now 1000\)") as refused:
        choose_propagation(data, settings, CPU)

    assert str(needs) in str(refused.value)
    assert choose_propagation(data, replace(settings, num_trees=500), CPU) == "full"
    assert choose_propagation(data, replace(settings, index_engine="exact"), CPU) == "full"


def test_sizes_are_read_in_the_unit_that_suits() -> None:
    """With three digits."""
    assert [readable_bytes(size) for size in (5, 2048, 3 << 20, 12.34 * 2**30)] == [
        "5 B",
        "2 KiB",
        "3 MiB",
        "12.3 GiB",
    ]


def machine(root: Path, files: dict[str, str]) -> Path:
    """Write what the kernel says of memory."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


MEMINFO = {"proc/meminfo": "MemTotal: 9000 kB\nMemAvailable:    8000 kB\n"}
VERSION_2 = {
    "proc/self/cgroup": "0::/shop/train\n",
    "sys/fs/cgroup/shop/memory.max": "5000000\n",
    "sys/fs/cgroup/shop/memory.current": "3000000\n",
    "sys/fs/cgroup/shop/memory.stat": "anon 1\ninactive_file 500000\n",
    "sys/fs/cgroup/shop/train/memory.max": "max\n",
    "sys/fs/cgroup/shop/train/memory.current": "1000\n",
    "sys/fs/cgroup/shop/train/memory.stat": "inactive_file 0\n",
}
VERSION_1 = {
    "proc/self/cgroup": "5:memory:/docker/abc\n1:cpu:/\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "4000000\n",
    "sys/fs/cgroup/memory/memory.usage_in_bytes": "1000000\n",
    "sys/fs/cgroup/memory/memory.stat": "total_inactive_file 0\n",
}


@pytest.mark.parametrize(
    ("files", "expected"),
    [(MEMINFO, 8_192_000), (MEMINFO | VERSION_2, 2_500_000), (MEMINFO | VERSION_1, 3_000_000)],
    ids=["no cgroup", "version 2", "version 1 in a container"],
)
def test_on_the_cpu_the_smaller_of_machine_and_cgroup_counts(
    tmp_path: Path, files: dict[str, str], expected: int
) -> None:
    """A limit of any cgroup above counts, and the page cache gives way."""
    assert free_bytes(CPU, machine(tmp_path, files)) == expected


def test_this_machine_has_memory() -> None:
    """The real files are read."""
    assert free_bytes(CPU) > 1 << 20
