"""The settings of the model: the network, its training, and the gate."""

from dataclasses import dataclass

from model.artifact.index.engines import AUTO, ENGINES
from model.artifact.pretrained.encoders import ENCODERS, OFF
from model.errors import SettingsInvalid

_DEVICES = ("auto", "cpu", "cuda")
_PROPAGATIONS = ("auto", "full", "sampled")
# Lowest and highest value of each number. Chosen by hand, to refuse typing errors and
# what cannot work; twice the highest would still run, slowly or to no use.
_BOUNDS = {
    "dim": (2, 4096),
    "num_buckets": (16, 1 << 26),
    "hidden": (1, 65536),
    "num_layers": (1, 8),
    "pretrained_dim": (1, 4096),
    "words_dim": (0, 4096),
    "walk_dim": (0, 4096),
    "learning_rate": (1e-6, 1.0),
    "content_rate": (0.0, 1000.0),
    "id_rate": (0.0, 1000.0),
    "content_loss": (0.0, 1000.0),
    "title_loss": (0.0, 1000.0),
    "num_titles": (0, 1 << 20),
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
    "recall_at_10": (0.0, 1.0),
    "num_trees": (1, 1000),
    "index_search_k": (0, 1 << 30),
    "keep_generations": (1, 1000),
    "tune_every_seconds": (0.1, 30 * 86400.0),
    "evaluated_queries": (0, 1_000_000),
    "gate_min_own_titles": (0.0, 1.0),
    "gate_max_mean_cosine": (0.0, 1.0),
    "gate_min_coverage": (0.0, 1.0),
    "gate_max_quality_drop": (0.0, 1.0),
    "gate_min_edges": (1, 1 << 30),
}


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """The table ``[model]``. The defaults suit up to some ten thousand items on two CPU
    cores; docs/experiments.md has what was tried.

    Raises:
        SettingsInvalid: a value is out of its bounds; the message names the key.
    """

    # Floats. 64 is worse on both logs; 256 adds 1% and doubles index, memory and scan.
    dim: int = 128
    """Length of the vectors."""
    # At most 64 MiB at 128 dimensions; only features that occur take space. By hand;
    # not tuned. Twice as many: fewer collisions, up to twice the encoder's file.
    num_buckets: int = 1 << 17
    """Rows of the hashed text feature table."""
    # By hand; not tuned. Twice as wide: twice the time of the towers.
    hidden: int = 128
    """Width of the hidden layer of the text towers."""
    # Three layers were no better (lastfm 105/106 -> 103/100). Twice as many: twice the
    # products over edges.
    num_layers: int = 2
    """Layers of graph convolution in the bipartite channel."""
    use_bipartite: bool = True
    """Learn from the query-item graph."""
    use_hypergraph: bool = True
    """Learn from sessions."""
    use_ids: bool = True
    """Give every node that has been seen a vector of its own beside its text."""
    pretrained_text: str = AUTO
    """Frozen text encoder whose vectors stand beside the network's where that pays:
    ``auto`` (one that is installed, see `freshet[text]`), ``off``, or a name:
    ``wordllama``.
    """
    # Floats. Half the index more, and nine tenths of what all 256 give; twice as many
    # (525/703 in place of 523/700) double the index.
    pretrained_dim: int = 64
    """Length of what pretrained text adds to every vector; at most the encoder's."""
    # Floats; docs/experiments.md has what 64 and 256 give. Twice as many: less noise,
    # for a third more of index, memory and scan.
    words_dim: int = 128
    """Length of what words of items' titles add to every vector, where that pays; below
    2: they add nothing.
    """
    # Floats; docs/experiments.md has what 32 and 128 give. Twice as many: a quarter
    # more of index, memory and scan.
    walk_dim: int = 64
    """Length of what walks through sessions (query, item, session, item) add to every
    vector, where that pays; below 2: they add nothing.
    """

    item_prior: bool = True
    """Whether items that many sessions have, lately above all, rank before others that
    fit as well, where that pays.
    """

    # Chosen with `batch_size`. Twice as much overfits lastfm (114/118 -> 106/112).
    learning_rate: float = 0.0015
    """Learning rate of Adam; it decays to a tenth over `max_passes`."""
    # A factor. 5 to 10 lift retrieval by text alone from 387/517 to 466/640; twice as
    # much is within that range.
    content_rate: float = 5.0
    """Learning rate of the text towers, as a multiple of `learning_rate`."""
    # A factor. 1.0 memorises and costs new queries; docs/experiments.md has the table.
    id_rate: float = 0.2
    """Learning rate of the id embeddings, as a multiple of `learning_rate`: small, so
    that they do not memorise what text and neighbours already explain.
    """
    # A weight. It lifts new queries by half a percent (545/718 -> 548/718); twice as
    # much was not measured.
    content_loss: float = 0.5
    """Weight of the text-only loss, relative to the main loss of 1."""
    # A weight. Without it new items are found worse (bestbuy 386/539, with it 590/674),
    # and of a wide catalogue few by their names; docs/experiments.md has more.
    title_loss: float = 0.5
    """Weight of the loss that lets every item be found by its own title, relative to
    the main loss of 1, in shops whose queries have words of titles
    (`TrainingSet.asks_in_words_of_titles`).
    """
    # By hand: some 10% of a step. Twice as many: more of a wide catalogue a step, four
    # times their scores.
    num_titles: int = 512
    """Sampled items of the whole catalogue whose titles each step ranks; 0: none."""
    # Per step: the average covers some 50 steps. The average lifts lastfm from 98/95 to
    # 105/106. Half the distance to 1 (0.99) averages 100 steps; not measured.
    average_decay: float = 0.98
    """Decay of the exponential moving average of the weights, which is what is
    published.
    """
    # 1024 is as good, in twice the time. Twice as many: four times the scores of
    # a step.
    batch_size: int = 2048
    """Edges supervised in one step."""
    # docs/experiments.md has what they bring: twice as many are not measured, and more
    # scores a step.
    num_negatives: int = 512
    """Sampled items of the whole catalogue that each step ranks besides those of its
    batch, in shops that are rarely asked for items without clicks
    (`TrainingSet.ranks_catalogue`).
    """
    # 0.4 is worse (497/665 -> 491/654).
    node_dropout: float = 0.2
    """Share of nodes that lose neighbours and id embedding in a step and train from
    text alone.
    """
    # 0.3 and none make no difference that can be measured.
    edge_dropout: float = 0.1
    """Share of edges and hyperedges left out of the graph in a step (DropEdge)."""
    # By hand; not tuned, since it is learned. Twice as much starts slower.
    temperature: float = 0.1
    """Initial softmax temperature; it is learned."""
    # Half of `tune_every_seconds`, so that snapshot and gate fit beside it. By hand;
    # not tuned.
    budget_seconds: float = 300.0
    """Time budget of a training, from the snapshot's arrays to the exported generation;
    resumed runs included.
    """
    # By hand; not tuned. Twice as long: a kill costs up to a minute.
    checkpoint_every_seconds: float = 30.0
    """Seconds between two saves of a training's state, each after a pass: what a kill
    costs. 0: every pass.
    """
    # By hand; early stopping ends before. Twice as many stretch the decay of the
    # learning rate.
    max_passes: int = 30
    """Most passes over the supervised edges when training from scratch."""
    # Pre-training hurts on both logs (docs/benchmarks.md).
    pretrain_passes: int = 0
    """Passes of contrastive pre-training before a training from scratch; 0: none."""
    # 4 are worse (499/670 against 511/694), 30 equal, 60 worse.
    newest_passes: int = 12
    """Final passes over the held-out edges, after early stopping. 0: they are only
    propagated over.
    """
    # Measured: as good as 12 passes with smaller batches, in a third of the time.
    warm_passes: int = 3
    """Passes of a warm-started training over the clicks that its parent has not
    learned. If the parent lacks more edges than `validation_share` of the facts made,
    also the most passes over those that are not held out, which come first.
    """
    # By hand; not tuned. Twice as many: trainings some passes longer.
    patience: int = 4
    """Early stopping: passes without a better validation result."""
    # By hand; not tuned. Twice as much: less noise in the gate, less to learn before
    # the final passes.
    validation_share: float = 0.1
    """Share of the newest facts held out for early stopping and for the gate."""
    # By hand; not tuned. Twice as many take twice the time to rank after each pass.
    max_validation_edges: int = 2000
    """Most edges that are held out."""
    # By hand; not tuned: against forgetting. Twice as much: up to twice the time of a
    # refresh.
    replay_share: float = 0.3
    """Share of its parent's edges that each pass of a warm-started training replays."""
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
    """``full``: each step goes over the whole graph. ``sampled``: over drawn neighbours
    of its batch. ``auto``: ``full`` where it fits `memory_bytes`.
    """
    # By hand, near GraphSAGE's 25 and 10. Twice as many: less variance, up to four
    # times the messages of two layers.
    num_neighbours: int = 20
    """``sampled``: most neighbours of a node that are drawn in a layer, and most of its
    hyperedges and of their members.
    """

    index_engine: str = AUTO
    """Engine of the index: ``exact`` scans all items for every answer, ``ivf`` cells of
    items near the query, ``annoy`` trees; ``auto`` measures which costs least.
    """
    # One in fifty of a first page differs from an exact scan's. 1 makes every index
    # exact; .99 costs about a third more CPU a search (docs/benchmarks.md).
    recall_at_10: float = 0.98
    """Share of the true ten nearest items that the index must find: of known queries,
    of texts that nobody searched for yet, and of the newest items, each by itself.
    """
    index_search_k: int = 0
    """How wide a search is: cells that ``ivf`` scans, candidates that ``annoy``
    examines; 0: the fewest that find `recall_at_10`, by measurement. The gate judges
    with it, and servers search with it.
    """
    # By hand; not tuned. Twice as many: twice the size and the build time, more recall.
    num_trees: int = 30
    """Trees of an ``annoy`` index: more trees find more and take longer to build."""
    fresh_state: bool = True
    """Store with a generation what the fresh lane (`freshet refresh`) continues from:
    about 8 bytes a dimension for each query and item. Without it, only new items and
    deletions are fresh between generations.
    """
    # By hand; not tuned. Twice as many: twice the disk.
    keep_generations: int = 5
    """Complete generations kept on disk; the live one is never removed."""
    # By hand; not tuned. Twice as long: embeddings up to ten minutes older.
    tune_every_seconds: float = 600.0
    """Period of `freshet tune`, from the start of one run to the next."""
    # Ranking for them takes some 10 s of a core at a million items of 128 dimensions,
    # less than a tenth of a second at ten thousand. Twice as many: twice that.
    evaluated_queries: int = 1000
    """Queries on whose newest clicks each run of the tuner evaluates the live
    generation before it trains; 0: none.
    """

    # By hand: a model that never learned titles finds .2 of a wide catalogue, a sound
    # one above .9. Twice as much refuses all whose titles are nearly alike.
    gate_min_own_titles: float = 0.5
    """Least share of items without clicks that must be among the first ten answers to
    their exact title; a refresh must only be as good as its parent. 0: any.
    """
    # By hand; not tuned. At 1 it refuses nothing.
    gate_max_mean_cosine: float = 0.9
    """Largest mean cosine between random pairs of items; above it the vectors have
    collapsed.
    """
    # By hand; not tuned: a greater loss points to a lost store. At 1 no item may leave.
    gate_min_coverage: float = 0.9
    """Least number of indexed items relative to the live generation, unless the
    catalogue itself shrank.
    """
    # By hand: two trainings from scratch differ by 4%. Twice as much lets worse ones
    # live.
    gate_max_quality_drop: float = 0.2
    """Largest relative loss of MRR against the live generation on the newest held-out
    edges and, for a refresh, on edges that the live generation was trained on; a
    greater one that may be chance of the queries counts as none.
    """
    # By hand: fewer are too noisy. Twice as many: small shops go unjudged for longer.
    gate_min_edges: int = 50
    """Edges below which quality is not compared."""

    @property
    def most_walk_dim(self) -> int:
        """Length of what walks through sessions add to a vector where they pay: nothing
        where sessions are not learnt from, or it has no room for a direction.
        """
        return self.walk_dim if self.use_hypergraph and self.walk_dim > 1 else 0

    @property
    def most_words_dim(self) -> int:
        """Length of what words of titles add to a vector where they pay: nothing where
        it has no room for a direction.
        """
        return self.words_dim if self.words_dim > 1 else 0

    @property
    def most_prior_dim(self) -> int:
        """Length of what priors of items add to a vector where they pay."""
        return 2 if self.item_prior else 0

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
        if self.index_engine not in (AUTO, *ENGINES):
            known = ", ".join((AUTO, *ENGINES))
            raise SettingsInvalid(f"model.index_engine is {self.index_engine!r}; known are {known}")
        if self.index_search_k and self.index_engine == AUTO:
            raise SettingsInvalid(
                f"model.index_search_k is {self.index_search_k}, but model.index_engine is "
                f"{AUTO}, which chooses both; set it to 0, or name the engine"
            )
        if self.pretrained_text not in (AUTO, OFF, *ENCODERS):
            known = ", ".join((AUTO, OFF, *ENCODERS))
            raise SettingsInvalid(
                f"model.pretrained_text is {self.pretrained_text!r}; known are {known}"
            )
        if self.propagation not in _PROPAGATIONS:
            known = ", ".join(_PROPAGATIONS)
            raise SettingsInvalid(f"model.propagation is {self.propagation!r}; known are {known}")
