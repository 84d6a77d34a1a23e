"""Keeps what the layers of the network make, for the fresh lane to continue from."""

import numpy as np
import torch
from torch import Tensor

from model.artifact.channels import TEXT
from model.training.result import LayerStates
from stream.dtypes import Float16s

# The largest number of float16: what is larger would be infinite. No trained vector
# comes near.
_LARGEST = float(np.finfo(np.float16).max)


class LayerKeeper:
    """Takes the layers of one propagation as they are made, at half their size."""

    def __init__(self) -> None:
        self._kept: dict[str, list[Float16s]] = {}

    def keep(self, channel: str, vectors: Tensor) -> None:
        """Keep a layer; see `model.network.network.OnLayer`."""
        half = vectors.clamp(-_LARGEST, _LARGEST).to(torch.float16).cpu().numpy()
        self._kept.setdefault(channel, []).append(half)

    def states(self) -> LayerStates:
        """Return what was kept; zeros of a channel that is switched off."""
        (own,) = self._kept[TEXT]
        (hypergraph,) = self._kept.get("hypergraph", [np.zeros_like(own)])
        return LayerStates(
            own=own, hypergraph=hypergraph, layers=tuple(self._kept.get("bipartite", ()))
        )
