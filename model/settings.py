"""Settings of the model.

The network, how it is trained, when a generation may go live.
"""

from dataclasses import dataclass

from model.artifact.index.engines import ENGINES, FIRST_ENGINE
from model.errors import SettingsInvalid

_DEVICES = ("auto", "cpu", "cuda")
_PROPAGATIONS = ("auto", "full", "sampled")
_BOUNDS = {
    "dim": (2, 4096),
    "num_buckets": (16, 1 << 26),
    "hidden": (1, 65536),
    "num_layers": (1, 8),
    "learning_rate": (1e-6, 1.0),
    "content_rate": (0.0, 1000.0),
    "id_rate": (0.0, 1000.0),
    "content_loss": (0.0, 1000.0),
    "average_decay": (0.0, 0.99999),
    "batch_size": (2, 1 << 20),
    "num_negatives": (0, 1 << 20),
    "num_neighbours": (1, 1 << 30),
    "node_dropout": (0.0, 0.95),
    "edge_dropout": (0.0, 0.95),
    "temperature": (0.001, 10.0),
    "budget_seconds": (0.0, 7 * 86400.0),
    "checkpoint_every_seconds": (0.0, 86400.0),
    "max_passes": (1, 10_000),
    "pretrain_passes": (0, 10_000),
    "newest_passes": (0, 10_000),
    "warm_passes": (1, 10_000),
    "patience": (1, 10_000),
    "validation_share": (0.0, 0.5),
    "max_validation_edges": (1, 1 << 30),
    "replay_share": (0.0, 1.0),
    "seed": (0, 2**31 - 1),
    "num_threads": (0, 1024),
    "memory_bytes": (0, 1 << 50),
    "num_trees": (1, 1000),
    "index_search_k": (1, 1 << 30),
    "keep_generations": (1, 1000),
    "tune_every_seconds": (0.1, 30 * 86400.0),
    "gate_min_index_recall": (0.0, 1.0),
    "gate_max_mean_cosine": (0.0, 1.0),
    "gate_min_coverage": (0.0, 1.0),
    "gate_max_quality_drop": (0.0, 1.0),
    "gate_min_edges": (1, 1 << 30),
}


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """The table ``[model]``. Defaults suit a shop of up to some ten thousand items on
    two CPU cores.

    Raises:
        SettingsInvalid: a value is out of its bounds; the message names the key.
    """

    dim: int = 128
    """Length of the vectors."""
    num_buckets: int = 1 << 17
    """Rows of the hashed text feature table."""
    hidden: int = 128
    """Width of the hidden layer of the text towers."""
    num_layers: int = 2
    """Layers of graph convolution in the bipartite channel."""
    use_bipartite: bool = True
    """Learn from the query-item graph."""
    use_hypergraph: bool = True
    """Learn from sessions."""
    use_ids: bool = True
    """Give every node that has been seen a vector of its own beside its text."""

    learning_rate: float = 0.0015
    """Step size of Adam; it decays to a tenth over `max_passes`."""
    content_rate: float = 5.0
    """Step size of the text path, as a multiple of `learning_rate`."""
    id_rate: float = 0.2
    """Step size of the nodes' own vectors, as a multiple of `learning_rate`.

    What text and neighbours say of
    a node is not to be learnt by heart."""
    content_loss: float = 0.5
    """What it counts, beside the whole model's loss of 1, that a query's text alone
    finds its items.
    """
    average_decay: float = 0.98
    """Share of the running average of the weights that each step keeps.

    The average is what is published.
    """
    batch_size: int = 2048
    """Edges supervised in one step."""
    num_negatives: int = 0
    """Random clicked items that each step ranks besides those of its batch."""
    node_dropout: float = 0.2
    """Share of nodes that lose neighbours and id vector in a step, so that text alone
    learns to land well.
    """
    edge_dropout: float = 0.1
    """Share of edges and hyperedges taken out of the graph in a step (DropEdge)."""
    temperature: float = 0.1
    """Where the learnt softmax temperature starts."""
    budget_seconds: float = 300.0
    """Longest time from the snapshot's arrays to the exported generation, over
    restarts.
    """
    checkpoint_every_seconds: float = 30.0
    """What a kill takes of a training: its state is written this often, after a pass.

    0: every pass.
    """
    max_passes: int = 30
    """Most passes over the supervised edges when training from scratch."""
    pretrain_passes: int = 0
    """Passes of contrastive pre-training before a training from scratch; 0: none."""
    newest_passes: int = 12
    """Passes over the held-out facts, once training was stopped by them.

    0: they are only propagated over.
    """
    warm_passes: int = 3
    """Passes over the clicks that the generation which training goes on from has not
    learned. Where it lacks more edges than `validation_share` of the facts brought, the
    most passes over those that are not held out,
    too, which come first."""
    patience: int = 4
    """Passes without a better validation result before training stops."""
    validation_share: float = 0.1
    """Share of the newest facts held out to stop in time and to judge the generation.
    """
    max_validation_edges: int = 2000
    """Upper bound of the held-out edges."""
    replay_share: float = 0.3
    """Share of the edges that such a generation has learned that each of those passes
    goes over again.
    """
    seed: int = 0
    """Seed of everything random; the same seed gives the same generation on a CPU."""
    device: str = "auto"
    """``cpu``, ``cuda`` or ``auto`` (a GPU where there is one)."""
    num_threads: int = 0
    """CPU threads of torch; 0: one less than there are cores."""
    mixed_precision: bool = True
    """On a GPU, multiply dense matrices in bfloat16.

    Weights, sparse products and loss stay in float32.
    """
    memory_bytes: int = 0
    """Memory that training may take on its device; 0: what is free there."""
    propagation: str = "auto"
    """``full``: each step goes over the whole graph.

    ``sampled``: over drawn neighbours of its batch;
    ``auto``: ``full`` where it fits `memory_bytes`."""
    num_neighbours: int = 20
    """``sampled``: how many neighbours of a node are drawn in a layer at most.

    So many of its hyperedges,
    and of their members."""

    index_engine: str = FIRST_ENGINE
    """Engine of the index: ``annoy``, or ``exact``, which scans all items for every
    answer.
    """
    num_trees: int = 30
    """Trees of the Annoy index: a better forest against build time and size."""
    index_search_k: int = 10_000
    """Candidates that Annoy looks at for an answer: recall against time.

    The gate measures recall with it, and servers search with it."""
    keep_generations: int = 5
    """Complete generations kept on disk; the live one is never removed."""
    tune_every_seconds: float = 600.0
    """Period of `freshet tune`."""

    gate_min_index_recall: float = 0.9
    """Least share of the true ten nearest items that the index must find."""
    gate_max_mean_cosine: float = 0.9
    """Largest mean cosine between random pairs of items.

    Above it the vectors have collapsed.
    """
    gate_min_coverage: float = 0.9
    """Least number of indexed items relative to the live generation, unless the
    catalogue itself shrank.
    """
    gate_max_quality_drop: float = 0.2
    """Largest relative loss of MRR against the live generation on the newest held-out
    edges, and, of a
    refresh, on edges that the live generation has learned."""
    gate_min_edges: int = 50
    """Edges below which quality is not compared."""

    def __post_init__(self) -> None:
        for name, (low, high) in _BOUNDS.items():
            if not low <= getattr(self, name) <= high:
                raise SettingsInvalid(
                    f"model.{name} is {getattr(self, name)}; it must be between {low} and {high}"
                )
        if self.device not in _DEVICES:
            raise SettingsInvalid(
                f"model.device is {self.device!r}; known are {', '.join(_DEVICES)}"
            )
        if self.index_engine not in ENGINES:
            raise SettingsInvalid(
                f"model.index_engine is {self.index_engine!r}; known are {', '.join(ENGINES)}"
            )
        if self.propagation not in _PROPAGATIONS:
            known = ", ".join(_PROPAGATIONS)
            raise SettingsInvalid(f"model.propagation is {self.propagation!r}; known are {known}")
