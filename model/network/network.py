"""The dual-channel network: text, a bipartite channel, a hypergraph channel, and
attention between them.

After "Search Behavior Prediction: A Hypergraph Perspective" (Han et al., WSDM 2023;
DCAH). `A` is the weighted query-item matrix, `H` the incidence of nodes and hyperedges
(sessions), `D` with an index their degrees, `x` a node's own vector. In the order of
the paper's method:

1. What a node starts from: there a sentence vector of its text, trained elsewhere; here
   ``x = text + id``, both learned (`TextTowers`, `DualChannelNetwork.ids`).
2. The query-item graph: there two layers of GraphSAGE, ``D^-1 A x W_1 + x W_2 + b``
   with a ReLU; here ``sum over l of (D^-1/2 A D^-1/2)^l x``, without weights
   (`model.network.propagation.bipartite`).
3. The hypergraph, where a session is a hyperedge: there two layers of
   ``D_v^-1 H D_e^-1 H^T x W + b`` over items; here one of ``D_v^-1 H D_e^-1 H^T c``
   over items and queries (`model.network.propagation.hypergraph`), where ``c`` is the
   node's own vector and, times a learned share (`DualChannelNetwork.fed_bipartite`),
   what step 2 made of it.
4. Attention between the channels: there the softmax of ``a^T tanh(W h + b)`` over the
   two; here over three, text being one, with a term for the node's degree in each
   (`model.network.attention`), and with a share that held-out edges choose
   (`model.training.passes.channel_shares`).
5. The score of a pair: there an MLP over both vectors; here the inner product of unit
   vectors, because an index searches by it (`DualChannelNetwork.join`).
6. Training: there cross-entropy over random wrong pairs, the supervised edges staying
   in the graph; here a softmax over the batch with these edges hidden
   (`model.training.step`). Contrastive pre-training on two views
   (`model.training.pretraining`) and DropEdge are as there, the first off by default.

The paper's own, line by line, is `model.evaluation.baselines.dcah_network`.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.artifact.channels import CHANNEL_NAMES, TEXT, channels_on, has_fused_step
from model.data.texts import HashedTexts
from model.network.attention import ChannelAttention
from model.network.fused_channels import fused_channel_rows, matrices_of
from model.network.graph import (
    ChannelOutput,
    ChannelOutputs,
    HeldTable,
    IdTable,
    IdVectors,
    NodeVectors,
    ReceptiveField,
)
from model.network.propagation.channel import Propagation
from model.network.propagation.propagations import PROPAGATIONS
from model.network.text_towers import TextTowers
from model.network.whole_graph import FullReceptiveField
from model.settings import ModelSettings

# Where the bipartite channel's share in what the hypergraph one carries begins; it is
# learned. By hand; docs/experiments.md has what the share is worth. Twice as much
# begins at what training finds where sessions hold views.
_FED_BIPARTITE = 0.3
# Nodes of a block whose channels are joined: 4 MB a channel at 128 dimensions, which an
# export takes beside the channels. Twice as many take twice that, and no less time.
_BLOCK_NODES = 1 << 13

OnLayer = Callable[[str, Tensor], None]
"""Takes a channel's name and the vectors that one of its layers makes, ``float32
[num_rows, dim]``.
"""


class DualChannelNetwork(nn.Module):
    """All parameters of the model; `forward` returns every node's unit vector.

    Attributes:
        num_queries: how many of its nodes, the first, are queries.
        num_nodes: queries and items.
        id_table: how the id vectors of nodes are read: of `ids` alone, or of other
            processes as well.
        half_precision: text towers and attention multiply in bfloat16; sparse products
            and scores never do.
    """

    def __init__(
        self,
        texts: HashedTexts,
        settings: ModelSettings,
        num_queries: int,
        num_items: int,
        device: torch.device,
        *,
        id_table: IdTable | None = None,
        num_own: int | None = None,
    ) -> None:
        """Make it.

        Args:
            texts: text features of its nodes.
            settings: its size.
            num_queries: how many nodes, the first, are queries.
            num_items: how many, the others, are items.
            device: where it lives.
            id_table: how id vectors are read; None: all are in this process.
            num_own: how many of them this process holds; None: all.
        """
        super().__init__()
        self._settings = settings
        self.num_queries = num_queries
        self.num_nodes = num_queries + num_items
        self.id_table = HeldTable() if id_table is None else id_table
        self.half_precision = settings.mixed_precision and device.type == "cuda"
        self.content = TextTowers(texts, settings, num_queries + num_items)
        held = self.num_nodes if num_own is None else num_own
        self.ids = nn.Parameter(torch.zeros(held, settings.dim))
        self.fed_bipartite = nn.Parameter(torch.tensor(_FED_BIPARTITE))
        self.attention = nn.ModuleDict(
            {kind: ChannelAttention(settings.dim) for kind in ("query", "item")}
        )
        self.log_temperature = nn.Parameter(torch.tensor(math.log(settings.temperature)))
        self.to(device)

    def forward(self, reach: ReceptiveField, on_layer: OnLayer | None = None) -> NodeVectors:
        """Propagate over all nodes, and join their channels, a block of nodes at a
        time.

        Args:
            reach: all nodes.
            on_layer: as in `propagate`.
        """
        channels = self.propagate(reach, on_layer)
        query, query_attention = self._join_range(channels, 0, self.num_queries)
        item, item_attention = self._join_range(channels, self.num_queries, self.num_nodes)
        return NodeVectors(
            query=query, item=item, query_attention=query_attention, item_attention=item_attention
        )

    def propagate(self, reach: ReceptiveField, on_layer: OnLayer | None = None) -> ChannelOutputs:
        """Return the channels of every node that is reached.

        Args:
            reach: the nodes, and who hears of whom.
            on_layer: called with what each channel's layers make, the text's as well.
        """
        with self._dense():
            content = reach.content(self.content)
        own = content
        if self._settings.use_ids:
            own = content + reach.id_vectors(IdVectors(self.ids, self.id_table))
        outputs = {TEXT: ChannelOutput(vectors=own, degree=own.new_ones(len(own)))}
        on_layer = on_layer or (lambda *_: None)
        on_layer(TEXT, own)
        for channel in PROPAGATIONS:
            outputs[channel.name] = self._propagate(channel, outputs, reach, on_layer)
        return ChannelOutputs(content=content, each=_in_order(outputs), nodes=reach.nodes)

    def propagate_to(self, reach: ReceptiveField, nodes: Tensor) -> ChannelOutputs:
        """Return the channels of some distinct nodes, ``int64 [n]``, for a step with
        gradients.
        """
        if not (has_fused_step(self._settings) and isinstance(reach, FullReceptiveField)):
            return self.propagate(reach).of(nodes)
        nodes = nodes.sort().values
        with self._dense():
            content = reach.content(self.content)
        matrices = matrices_of(reach, nodes, self._settings.num_layers)
        rows = fused_channel_rows(content, self.ids, self.fed_bipartite, matrices)
        outputs = {TEXT: ChannelOutput(vectors=rows.own, degree=rows.own.new_ones(len(nodes)))}
        for name, vectors in (("bipartite", rows.bipartite), ("hypergraph", rows.hypergraph)):
            outputs[name] = ChannelOutput(vectors=vectors, degree=reach.channel(name).degree[nodes])
        return ChannelOutputs(content=rows.content, each=_in_order(outputs), nodes=nodes)

    def of_query_texts(self, terms: Tensor, starts: Tensor) -> Tensor:
        """Return ``float32 [n, dim]``, the unit vectors of texts as new queries.

        Args:
            terms: as in `TextTowers.queries`.
            starts: the same.
        """
        with self._dense():
            return F.normalize(self.content.queries(terms, starts), dim=1)

    def join(self, channels: ChannelOutputs, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Return unit vectors ``float32 [n, dim]`` of some nodes, and the attention
        behind them ``[n, num_channels]``.

        Args:
            channels: of `propagate`.
            nodes: ``int64 [n]``, all of them queries or all of them items.
        """
        kind = "query" if len(nodes) and int(nodes[0]) < self.num_queries else "item"
        rows = channels.rows(nodes)
        vectors = torch.stack([channel.vectors[rows] for channel in channels.each], dim=1)
        degrees = torch.stack([channel.degree[rows] for channel in channels.each], dim=1)
        vectors, degrees = vectors.to(self.ids.device), degrees.to(self.ids.device)
        with self._dense():
            attention: Tensor = self.attention[kind](vectors, degrees)
        return F.normalize((attention[:, :, None] * vectors).sum(dim=1), dim=1), attention

    def attention_of(self, kind: str) -> ChannelAttention:
        """Return the attention of queries (``query``) or of items (``item``)."""
        attention: ChannelAttention = self.attention[kind]  # type: ignore[assignment]
        return attention

    def join_all(self, channels: ChannelOutputs, nodes: Tensor) -> Tensor:
        """Return what `join` does of any number of nodes, a block at a time, where the
        channels are: ``float32 [n, dim]``.
        """
        return self._join_blocks(channels, nodes)[0]

    def _dense(self) -> torch.autocast:
        return torch.autocast(self.ids.device.type, torch.bfloat16, enabled=self.half_precision)

    def _join_range(self, channels: ChannelOutputs, start: int, end: int) -> tuple[Tensor, Tensor]:
        return self._join_blocks(channels, torch.arange(start, end, device=channels.content.device))

    def _join_blocks(self, channels: ChannelOutputs, nodes: Tensor) -> tuple[Tensor, Tensor]:
        home = channels.content.device
        blocks = torch.split(nodes, _BLOCK_NODES)
        joined = [[each.to(home) for each in self.join(channels, block)] for block in blocks]
        vectors, attention = (torch.cat(each) for each in zip(*joined, strict=True))
        return vectors, attention

    def _propagate(
        self,
        channel: Propagation,
        outputs: dict[str, ChannelOutput],
        reach: ReceptiveField,
        on_layer: OnLayer,
    ) -> ChannelOutput:
        """Return a channel's output, given those of the channels before it."""
        own = outputs[TEXT].vectors
        if channel.name not in channels_on(self._settings):
            return _without_messages(own)
        start = own
        for name in channel.fed_by:
            start = start + self._fed[name].to(own.device) * outputs[name].vectors
        hearing = reach.channel(channel.name)
        total: Tensor | None = None
        for layer in channel.layers(start, hearing, self._settings):
            on_layer(channel.name, layer)
            total = layer if total is None else total + layer
        return ChannelOutput(
            vectors=torch.zeros_like(own) if total is None else total, degree=hearing.degree
        )

    @property
    def _fed(self) -> dict[str, Tensor]:
        """The learned share of each channel that feeds another."""
        return {"bipartite": self.fed_bipartite}


def _in_order(outputs: dict[str, ChannelOutput]) -> tuple[ChannelOutput, ...]:
    """Return the channels in the order of attention; degree 0 means no output."""
    own = outputs[TEXT].vectors
    return tuple(
        outputs[name] if name in outputs else _without_messages(own) for name in CHANNEL_NAMES
    )


def _without_messages(like: Tensor) -> ChannelOutput:
    return ChannelOutput(vectors=torch.zeros_like(like), degree=like.new_zeros(len(like)))
