"""One optimisation step: hide what is supervised, propagate, compare, move weights."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.artifact.encoder import unit_rows
from model.data.graph import GraphPart
from model.data.training_set import TrainingSet
from model.errors import TrainingCancelled, TrainingFailed
from model.network.graph import PropagationGraph, VisibilityMask
from model.network.network import DualChannelNetwork, OnLayer
from model.network.sampled import SampledGraph
from model.network.whole_graph import Graph
from model.settings import ModelSettings
from model.training.limits.memory_limit import Propagation
from model.training.objective import Objective
from model.training.optimizer import Adam, WeightAverage
from model.training.pretraining import ContrastSettings, pretrain
from model.training.ranks.ranks import ONE_RANK, Ranks
from model.training.saved_state import Arrays
from stream.dtypes import Float32s, Int64s


class Learner:
    """The network with its training graph, and one optimisation step.

    Args:
        data: what is learned from.
        settings: size of the network and of the steps.
        device: where all of it lives.
        propagation: whether a step goes over the whole graph, or over drawn neighbours
            of its batch.
        ranks: that make each step together. Over drawn neighbours each of them holds
            its part of the id vectors only.

    Attributes:
        network: the network as the last step left it.
        average: the running average of its weights, which is what a generation is made
            of.
        train_graph: what steps propagate over.
        ranks: that make each step together.
        partition: how id vectors are partitioned over them; None: they are not.
    """

    train_graph: PropagationGraph

    def __init__(
        self,
        data: TrainingSet,
        settings: ModelSettings,
        device: torch.device,
        propagation: Propagation = "full",
        ranks: Ranks = ONE_RANK,
    ) -> None:
        self.data = data
        self.ranks = ranks
        self._propagation = propagation
        self.settings = settings
        self.device = device
        part = data.train
        self.partition = (
            ranks.table(part.num_nodes) if propagation == "sampled" and settings.use_ids else None
        )
        self.network = DualChannelNetwork(
            data.texts,
            settings,
            part.num_queries,
            part.num_items,
            device,
            id_table=self.partition,
            num_own=self.partition.num_own if self.partition else None,
        )
        self.optimizer = Adam(self._rated_parameters(), settings.learning_rate)
        self.average = WeightAverage(dict(self.network.named_parameters()), settings.average_decay)
        place = [name for name, _ in self.network.named_parameters()].index("ids")
        moments = {f"adam.mean.{place}", f"adam.square.{place}"}
        self._of_ids = {"ids", "network.ids", "average.of.ids", *moments}
        self.learn_from(part)

    def learn_from(self, part: GraphPart) -> None:
        """Let steps propagate over another part of the graph and
        supervise its edges.
        """
        if self._propagation == "sampled":
            self.train_graph = SampledGraph(part, self.data.texts, self.settings, self.device)
        else:
            self.train_graph = Graph(part, self.device)
        self._objective = Objective(
            part, self.data.titles, self.data.loss_settings(self.settings), self.device
        )
        self._source_edge = torch.from_numpy(part.source_edge).to(self.train_graph.home)
        self._source_hyperedge = torch.from_numpy(part.source_hyperedge).to(self.train_graph.home)

    def pretrain(self, is_over: Callable[[], bool]) -> None:
        """Learn to distinguish nodes in two views of the training graph.

        See `model.training.pretraining`.

        Args:
            is_over: called before each step; True ends pre-training.
        """
        graph = self.train_graph
        contrast = ContrastSettings(
            passes=self.settings.pretrain_passes,
            batch_size=self.settings.batch_size,
            learning_rate=self.settings.learning_rate,
        )

        seen = torch.from_numpy(np.flatnonzero(self.data.train.seen)).to(self.device)

        def encode(visible: VisibilityMask) -> Tensor:
            nodes = self.network(graph.reach(visible, seen))
            return torch.cat([nodes.query, nodes.item])

        pretrain(
            encode,
            self._rated_parameters(),
            VisibilityMask.everything(graph),
            seen,
            contrast,
            is_over=is_over,
        )
        self.average.restart()

    def set_rate(self, share: float) -> None:
        """Let the next steps be of this share of `model.learning_rate`."""
        self.optimizer.learning_rate = share * self.settings.learning_rate

    def step(self, batch: Int64s) -> float:
        """Supervise a batch of edges, given as ``int64 [batch]`` positions: the same on
        all ranks.

        Return the loss.
        """
        edges = torch.from_numpy(batch).to(self.device)
        self.optimizer.zero_grad()
        loss = self._loss(edges)
        loss.backward()  # type: ignore[no-untyped-call]
        self.ranks.add_gradients(self._shared_parameters())
        self.optimizer.step()
        self.average.update()
        return self.ranks.total(loss.detach())

    def _loss(self, edges: Tensor) -> Tensor:
        """Return the loss; what its gradient does not need is freed with this frame.

        All ranks hide and draw the same; each propagates to its own nodes.
        """
        visible, compared = self.hide(edges), self._objective.draw(edges)
        nodes = self._objective.own_nodes(compared, self.ranks)
        with self.ranks.own_draws():
            reach = self.train_graph.reach(visible, nodes)
        channels = self.network.propagate_to(reach, nodes)
        return self._objective.loss(self.network, channels, compared, self.ranks)

    def _shared_parameters(self) -> list[Tensor]:
        """Return the parameters that each rank has all of: gradients of others come to
        whoever holds them on their own.
        """
        return [
            parameter
            for name, parameter in self.network.named_parameters()
            if self.partition is None or name != "ids"
        ]

    def hide(self, edges: Tensor) -> VisibilityMask:
        """Return what a step that supervises `edges` may see.

        Supervised edges must not predict themselves: the edges go, and so do the
        hyperedges of the sessions that made them. Some nodes lose all neighbours, in
        both channels, and their id vector, so that text alone learns to land well. Some
        more edges and hyperedges go at random (DropEdge).
        """
        settings, graph = self.settings, self.train_graph
        edges = edges.to(graph.home)
        edge = _keep(graph.num_edges, settings.edge_dropout, graph.home)
        hyperedge = _keep(graph.num_hyperedges, settings.edge_dropout, graph.home)
        supervised = torch.zeros(graph.num_edges, dtype=torch.bool, device=graph.home)
        supervised[edges] = True
        edge[edges] = 0.0
        hyperedge[self._source_hyperedge[supervised[self._source_edge]]] = 0.0
        node = _keep(graph.num_nodes, settings.node_dropout, graph.home)
        return VisibilityMask(edge=edge, hyperedge=hyperedge, node=node)

    def _rated_parameters(self) -> list[tuple[Tensor, float]]:
        """Return each parameter with its factor on the step size."""
        factors = {"content": self.settings.content_rate, "ids": self.settings.id_rate}
        return [
            (parameter, factors.get(name.partition(".")[0], 1.0))
            for name, parameter in self.network.named_parameters()
        ]

    def state(self) -> Arrays:
        """Return all that steps change, by name.

        Weights, moments, average, torch's random state: the same arrays whatever the
        number of ranks, whole on the first one.

        Arrays share memory with the learner where it is on the CPU: use them before the
        next step.
        """
        arrays = self.collected(self._tensors())
        return {"random": torch.get_rng_state().numpy(), **arrays}

    def empty_state(self) -> Arrays:
        """Return arrays of the names and shapes that `state` has on the first rank.

        Their values are nothing.
        """
        shapes = {name: self._like(name, tensor) for name, tensor in self._tensors().items()}
        return {"random": torch.get_rng_state().numpy(), **shapes}

    @torch.no_grad()
    def restore(self, state: Arrays) -> None:
        """Put back what `state` returned, also in another process, or on another number
        of ranks.

        Args:
            state: on the first rank; others get it from there.
        """
        self.spread(state, self._tensors())
        random = torch.get_rng_state()
        if self.ranks.is_first:
            random = torch.from_numpy(state["random"])
        self.ranks.copy_first([random])
        torch.set_rng_state(random)

    def collected(self, tensors: Mapping[str, Tensor]) -> Arrays:
        """Return tensors of this learner as arrays, on the first rank those of all
        nodes.
        """
        return {
            name: tensor.detach().cpu().numpy()
            for name, each in tensors.items()
            if (tensor := self._collect(name, each)) is not None
        }

    @torch.no_grad()
    def spread(self, arrays: Arrays, tensors: Mapping[str, Tensor]) -> None:
        """Write the first rank's arrays into tensors of this learner, on all ranks."""
        for name, tensor in tensors.items():
            whole = torch.from_numpy(arrays[name]) if self.ranks.is_first else None
            if self.partition is not None and name in self._of_ids:
                self.partition.spread(whole, tensor)
                continue
            if whole is not None:
                tensor.copy_(whole)
            self.ranks.copy_first([tensor])

    def gathered(self) -> AbstractContextManager[None]:
        """Have the id vectors of all nodes on the first rank for as long as the context
        lasts, for `vectors` there.
        """
        if self.partition is None:
            return nullcontext()
        return self.partition.gathered(self.network.ids)

    def _collect(self, name: str, tensor: Tensor) -> Tensor | None:
        if self.partition is not None and name in self._of_ids:
            return self.partition.collect(tensor)
        return tensor

    def _like(self, name: str, tensor: Tensor) -> NDArray[Any]:
        shape: tuple[int, ...] = tuple(tensor.shape)
        if self.partition is not None and name in self._of_ids:
            shape = (self.partition.num_nodes, *shape[1:])
        return np.broadcast_to(np.zeros((), dtype=np.float32), shape)

    def _tensors(self) -> dict[str, Tensor]:
        parts = {
            "network": self.network.state_dict(),
            "adam": self.optimizer.tensors(),
            "average": self.average.tensors(),
        }
        return {
            f"{part}.{name}": tensor
            for part, tensors in parts.items()
            for name, tensor in tensors.items()
        }

    def vectors(
        self, graph: PropagationGraph, on_layer: OnLayer | None = None
    ) -> tuple[Float32s, Float32s, Float32s, Float32s]:
        """Return query vectors, item vectors and their attention with everything of
        `graph` visible.

        Args:
            graph: what is propagated over.
            on_layer: as in `DualChannelNetwork.propagate`.
        """
        with torch.no_grad():
            nodes = self.network(graph.reach_all(), on_layer)
        query, item, query_attention, item_attention = (
            array.float().cpu().numpy()
            for array in (nodes.query, nodes.item, nodes.query_attention, nodes.item_attention)
        )
        return unit_rows(query), unit_rows(item), query_attention, item_attention


def _keep(count: int, dropped_share: float, device: torch.device) -> Tensor:
    """Return ``float32 [count]`` of ones, with zeros at a random share.

    Drawn on the CPU for every device.
    """
    return (torch.rand(count) >= dropped_share).float().to(device)


def supervise(
    learner: Learner,
    batches: Sequence[Int64s],
    until: float,
    is_cancelled: Callable[[], bool],
    steps_before: int,
) -> list[float]:
    """Make a step for each batch; return their losses, fewer where time ran out.

    Args:
        learner: makes the steps.
        batches: ``int64 [batch]`` edges each.
        until: `time.monotonic` after which no step begins.
        is_cancelled: as in `train`.
        steps_before: steps that training has made already.
    """
    losses: list[float] = []
    for batch in batches:
        cancelled, is_over = learner.ranks.either(is_cancelled(), time.monotonic() > until)
        if cancelled:
            raise TrainingCancelled("training was cancelled; nothing was published")
        if is_over:
            break
        loss = learner.step(batch)
        if not np.isfinite(loss):
            raise TrainingFailed(
                f"the loss became {loss} after {steps_before + len(losses)} steps; "
                "lower model.learning_rate or change model.seed"
            )
        losses.append(loss)
    return losses
