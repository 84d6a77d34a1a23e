"""What pretrained text, words of titles, walks through sessions and priors of items add
to the vectors that the fresh lane publishes.

The lane computes with the network's vectors alone; the blocks are put beside them when
they are published. Nodes of the generation have those of their texts in its vectors
already, so that a text is read only where it is new.
"""

from collections.abc import Callable, Sequence

import numpy as np

from model.artifact.generation import Generation
from model.artifact.pretrained.block import extended
from model.beside.item_prior import PriorBlock
from model.beside.joined import directions
from model.fresh.directory import NodeText
from stream.dtypes import Bools, Float32s, Int64s

# Texts whose directions are kept: as many as there are active nodes at most
# (`RoundLimits.max_active_nodes`), some 130 MB. With fewer than a shop has new queries,
# all of them are read again and again; twice as many would be of no use.
_MOST_TEXTS = 1 << 18
# Texts that there is room for at first: half a megabyte. Twice as many: twice that.
_FIRST_ROOM = 1 << 10


class PublishedVectors:
    """Makes the vectors that are published of the network's.

    Args:
        generation: the generation.

    Raises:
        PretrainedTextUnusable: it was made with a text encoder that is not installed.
    """

    def __init__(self, generation: Generation) -> None:
        self._block = generation.text_block()
        self._words = generation.word_block
        self._texts = _Read(self._block.directions) if self._block is not None else None
        self._titles = _Read(self._words.directions) if self._words is not None else None
        self._walk = generation.walk_block
        self._prior = generation.prior_block
        self._network_dim = generation.network_dim
        self._vectors = (
            np.asarray(generation.query_vectors),
            np.asarray(generation.item_vectors),
        )

    @property
    def dim(self) -> int:
        """Length of what is published."""
        blocks = (self._block, self._words, self._walk, self._prior)
        return self._network_dim + sum(block.dim for block in blocks if block is not None)

    def of(
        self,
        vectors: Float32s,
        rows: Int64s,
        texts: Sequence[NodeText | None],
        is_known: Bools,
        walks: Float32s,
        *,
        is_item: bool,
    ) -> Float32s:
        """Return ``float32 [n, dim]``, what is published.

        Args:
            vectors: ``float32 [n, network_dim]`` unit vectors.
            rows: ``int64 [n]``, the query or item in the generation; below 0: none.
            texts: of each node; None: as in the generation.
            is_known: ``bool [n]``: it has been clicked.
            walks: as `WalkDirections.of` returns them.
            is_item: whether they are items.
        """
        is_new = np.array([text is not None for text in texts], dtype=np.bool_)
        new = [text for text in texts if text is not None]
        kept = self._vectors[is_item][rows[~is_new]]
        if self._block is not None and self._texts is not None:
            own = _own_directions(kept, self._network_dim, self._block.dim)
            read = self._texts.of([text.text for text in new])
            scales = self._block.scales.of(is_item=is_item, is_known=is_known)
            vectors = extended(vectors, _placed(is_new, read, own), scales)
        if self._words is not None and self._titles is not None:
            own = _own_directions(kept, vectors.shape[1], self._words.dim - 1)
            read = self._titles.of([text.title for text in new])
            extend = self._words.items if is_item else self._words.queries
            vectors = extend(vectors, _placed(is_new, read, own))
        if self._walk is not None:
            if is_item:
                vectors = self._walk.items(vectors, walks, is_known)
            else:
                vectors = self._walk.queries(vectors, walks)
        if self._prior is None:
            return vectors
        if is_item:
            return self._prior.items(vectors, self._shares(self._prior, rows))
        return self._prior.queries(vectors)

    def _shares(self, prior: PriorBlock, rows: Int64s) -> Float32s:
        """Return ``float32 [n]``, what items had when they were trained, and what new
        ones have.

        A click does not change it: how often something is seen is known by the next
        generation, and what has just been clicked must not fall behind for that.
        """
        shares = np.full(len(rows), prior.new_share, dtype=np.float32)
        shares[rows >= 0] = prior.shares_of(self._vectors[True][rows[rows >= 0]])
        return shares


class _Read:
    """Directions of texts, each read once as long as there is room: a new query is
    published as often as it moves.

    Args:
        read: returns ``float32 [num_texts, dim]``.
    """

    def __init__(self, read: Callable[[Sequence[str]], Float32s]) -> None:
        self._read = read
        self._places: dict[str, int] = {}
        self._known = np.zeros((0, 0), dtype=np.float32)

    def of(self, texts: Sequence[str]) -> Float32s:
        """Return ``float32 [num_texts, dim]``."""
        unknown = list(dict.fromkeys(text for text in texts if text not in self._places))
        if not texts or len(unknown) > _MOST_TEXTS:
            return self._read(texts)
        if len(self._places) + len(unknown) > _MOST_TEXTS:
            self._places.clear()
            unknown = list(dict.fromkeys(texts))
        if unknown:
            self._keep(unknown, self._read(unknown))
        found: Float32s = self._known[[self._places[text] for text in texts]]
        return found

    def _keep(self, texts: Sequence[str], read: Float32s) -> None:
        first, wanted = len(self._places), len(self._places) + len(texts)
        if wanted > len(self._known):
            room = max(wanted, 2 * len(self._known), _FIRST_ROOM)
            grown = np.zeros((room, read.shape[1]), dtype=np.float32)
            if first:
                grown[:first] = self._known[:first]
            self._known = grown
        self._known[first:wanted] = read
        self._places.update(zip(texts, range(first, wanted), strict=True))


def _own_directions(vectors: Float32s, first: int, dim: int) -> Float32s:
    """Return ``float32 [n, dim]``, the directions that vectors have from a place on."""
    return directions(vectors[:, first : first + dim])


def _placed(is_new: Bools, read: Float32s, own: Float32s) -> Float32s:
    """Return ``float32 [len(is_new), dim]``: rows of what is new, and those of the
    others.
    """
    placed = np.empty((len(is_new), read.shape[1]), dtype=np.float32)
    placed[is_new], placed[~is_new] = read, own
    return placed
