"""Reads the tree of an Annoy file before Annoy does, which trusts every number in it.

Annoy follows child pointers without a bound: one wrong number ends the process or makes
a search endless. What passes here can do neither, whatever is searched for.
"""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.errors import GenerationCorrupt
from stream.dtypes import Bools

HEADER_WORDS: Final = 4
"""32-bit words of a node before its vector: descendants, plane offset, two children."""

_CHILDREN_WORD: Final = 2
"""Where the children begin; a node with few descendants lists them from here on."""

# Nodes that are read at once: 17 MB at 64 dimensions. Twice as many: twice the memory.
_BLOCK_NODES = 1 << 16


def check_annoy_file(path: Path, dim: int, count: int) -> None:
    """Check that every search of an Annoy file ends, and stays within the file.

    Every node is a vector, a list of vectors, or a split with two nodes below it. A
    split is written after what it splits, so children have smaller numbers: there are
    no circles.

    Args:
        path: the file, of the metric ``euclidean``.
        dim: length of the vectors.
        count: how many vectors it must hold, at least one.

    Raises:
        GenerationCorrupt: it is another file; the message names the node.
        OSError: it cannot be read.
    """
    words = HEADER_WORDS + dim
    size_bytes = path.stat().st_size
    if size_bytes % (4 * words) or size_bytes < 4 * words * (count + 1):
        raise GenerationCorrupt(
            f"the index {path} has {size_bytes} bytes, which is no whole number of nodes of "
            f"{count} vectors of {dim} dimensions"
        )
    nodes = np.memmap(path, dtype=np.int32, mode="r").reshape(-1, words)
    if nodes[-1, 0] != count:
        raise GenerationCorrupt(f"the index {path} holds {nodes[-1, 0]} vectors, not {count}")
    if (nodes[:count, 0] != 1).any():
        raise GenerationCorrupt(f"the index {path} is no tree: a vector has descendants")
    # Of each tree its root, and a copy of it at the end of the file.
    num_trees = int((nodes[count:, 0] == count).sum()) // 2
    references = np.zeros(len(nodes), dtype=np.int64)
    for start in range(count, len(nodes), _BLOCK_NODES):
        block = np.array(nodes[start : start + _BLOCK_NODES])
        wrong = np.flatnonzero(_is_wrong(block, start, dim, nodes[:, 0]))
        if len(wrong):
            raise GenerationCorrupt(
                f"the index {path} is no tree: node {start + wrong[0]} points where it must not"
            )
        own = block[: max(0, len(nodes) - num_trees - start)]
        references += np.bincount(_referenced(own, dim), minlength=len(nodes))
    if (references[:count] != num_trees).any() or (references[count:] > 1).any():
        raise GenerationCorrupt(
            f"the index {path} is no tree: its {num_trees} trees do not hold each vector once"
        )


def _referenced(block: NDArray[np.int32], dim: int) -> NDArray[np.int32]:
    """Return the numbers of all nodes that the nodes of a block point to."""
    children = block[:, _CHILDREN_WORD:]
    count = np.where(block[:, 0] <= dim + HEADER_WORDS - _CHILDREN_WORD, block[:, 0], 2)
    return children[np.arange(children.shape[1])[None, :] < count[:, None]]


def _is_wrong(
    block: NDArray[np.int32], start: int, dim: int, all_descendants: NDArray[np.int32]
) -> Bools:
    """Return which nodes of a block that are no vectors Annoy must not follow.

    Args:
        block: ``int32 [m, 4 + dim]``.
        start: number of the first of them.
        dim: length of the vectors.
        all_descendants: ``int32 [num_nodes]``; the last node is a root, which has all.
    """
    count = all_descendants[-1]
    numbers, descendants = np.arange(start, start + len(block)), block[:, 0]
    children = block[:, _CHILDREN_WORD:]
    is_list = descendants <= dim + HEADER_WORDS - _CHILDREN_WORD
    is_listed = np.arange(children.shape[1])[None, :] < descendants[:, None]
    listed_wrong = (is_listed & ((children < 0) | (children >= count))).any(axis=1)
    pair = children[:, :2]
    split_wrong = ((pair < 0) | (pair >= numbers[:, None])).any(axis=1)
    below = all_descendants[np.where(np.expand_dims(split_wrong, 1), 0, pair)].astype(np.int64)
    is_finite = np.isfinite(block.view(np.float32)[:, HEADER_WORDS:]).all(axis=1)
    splits_wrong = split_wrong | (below.sum(axis=1) != descendants) | ~is_finite
    wrong: Bools = (descendants < 1) | np.where(is_list, listed_wrong, splits_wrong)
    return wrong
