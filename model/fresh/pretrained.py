"""What pretrained text and walks through sessions add to the vectors that the fresh
lane publishes.

The lane computes with the network's vectors alone; the blocks are put beside them when
they are published. Nodes of the generation have the text's in its vectors already, so
that a text is encoded only where it is new.
"""

from collections.abc import Sequence

import numpy as np

from model.artifact.generation import Generation
from model.artifact.pretrained.block import extended
from stream.dtypes import Bools, Float32s, Int64s


class PublishedVectors:
    """Makes the vectors that are published of the network's.

    Args:
        generation: the generation.

    Raises:
        PretrainedTextUnusable: it was made with a text encoder that is not installed.
    """

    def __init__(self, generation: Generation) -> None:
        self._block = generation.text_block()
        self._walk = generation.walk_block
        self._network_dim = generation.network_dim
        self._vectors = (
            np.asarray(generation.query_vectors),
            np.asarray(generation.item_vectors),
        )

    @property
    def dim(self) -> int:
        """Length of what is published."""
        blocks = (self._block, self._walk)
        return self._network_dim + sum(block.dim for block in blocks if block is not None)

    def of(
        self,
        vectors: Float32s,
        rows: Int64s,
        texts: Sequence[str | None],
        is_known: Bools,
        walks: Float32s,
        *,
        is_item: bool,
    ) -> Float32s:
        """Return ``float32 [n, dim]``, what is published.

        Args:
            vectors: ``float32 [n, network_dim]`` unit vectors.
            rows: ``int64 [n]``, the query or item of the generation; used where there
                is no text.
            texts: of each node; None: as in the generation.
            is_known: ``bool [n]``: it has been clicked.
            walks: as `WalkDirections.of` returns them.
            is_item: whether they are items.
        """
        vectors = self._with_text(vectors, rows, texts, is_known, is_item=is_item)
        if self._walk is None:
            return vectors
        if is_item:
            return self._walk.items(vectors, walks, is_known)
        return self._walk.queries(vectors, walks)

    def _with_text(
        self,
        vectors: Float32s,
        rows: Int64s,
        texts: Sequence[str | None],
        is_known: Bools,
        *,
        is_item: bool,
    ) -> Float32s:
        if self._block is None:
            return vectors
        is_new = np.array([text is not None for text in texts], dtype=np.bool_)
        directions = np.zeros((len(vectors), self._block.dim), dtype=np.float32)
        directions[is_new] = self._block.directions([text for text in texts if text is not None])
        block = slice(self._network_dim, self._network_dim + self._block.dim)
        kept = self._vectors[is_item][rows[~is_new], block]
        lengths = np.linalg.norm(kept, axis=1, keepdims=True)
        directions[~is_new] = kept / np.where(lengths > 0.0, lengths, 1.0)
        scales = self._block.scales.of(is_item=is_item, is_known=is_known)
        return extended(vectors, directions, scales)
