"""What the files of a generation hold, against each other: what a checksum cannot say,
because whoever wrote a wrong file summed it up, too.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.artifact.arrays.strings import StringTable
from model.artifact.attributes.table import ATTRIBUTES_PREFIX
from model.artifact.checks.attributes import attributes_fault
from model.artifact.generation import Generation
from model.artifact.paths import check_path_contents
from model.errors import GenerationCorrupt
from protos.text import encoded_keys
from stream.dtypes import Float32s

# Largest difference of a vector's length from one: a hundred times what float32 rounds
# off. Twice as much would still find a vector that nobody scaled.
_LENGTH_TOLERANCE = 1e-3
_ONE = 1 + _LENGTH_TOLERANCE
# Rows whose length is computed at once: 17 MB at 64 dimensions. Twice as many: twice
# the memory.
_BLOCK_ROWS = 1 << 16
# Ids whose keys are computed again, 0.6 us each: all of most catalogues, spread over a
# larger one. Twice as many would find an error in single ids twice as surely.
_CHECKED_KEYS = 1 << 16
# Of them at once: 2 ms of Python, no step of which keeps its lock for .2 ms. Sixteen
# times as many take 10 MB, and calls wait for 3 ms.
_KEYS_AT_ONCE = 1 << 12
# From so many items on, all with one vector is no shop but a broken training. Twice as
# many would let twice as large a one pass.
_TELLING_ITEMS = 100


def check_contents(generation: Generation) -> None:
    """Check everything that answering relies on.

    Raises:
        GenerationCorrupt: the folder has another generation's name, strings are no
            UTF-8, ids or texts are empty or do not have the keys that they are found
            by, a number is not finite, a vector is not of length one, the index holds
            an item that does not exist or must not be shown, or attributes do not fit
            together; the message names the file.
    """
    path = generation.path
    check_name(path, generation.id)
    for name in ("item_ids", "item_titles", "query_texts"):
        fault = getattr(generation, name).fault(may_be_empty=name == "item_titles")
        if fault:
            raise GenerationCorrupt(f"{path}/{name}.utf8 {fault}")
    _check_keys(path, "item", generation.item_ids, generation.item_keys)
    _check_keys(path, "query", generation.query_texts, generation.query_keys)
    _check_units(path, "item_vectors", generation.item_vectors)
    _check_units(path, "query_vectors", generation.query_vectors)
    _check_finite(generation)
    _check_index_items(generation)
    if generation.attributes is not None:
        fault = attributes_fault(generation.attributes, len(generation.item_ids))
        if fault:
            raise GenerationCorrupt(f"{path}/{ATTRIBUTES_PREFIX}{fault}")
    if generation.paths is not None:
        check_path_contents(generation.paths)


def check_name(path: Path, generation_id: str) -> None:
    """Check that a folder has the name of the generation in it.

    Raises:
        GenerationCorrupt: it was copied or renamed by hand.
    """
    if generation_id != path.name:
        raise GenerationCorrupt(
            f"{path} holds generation {generation_id}; its folder must carry that name"
        )


def _check_keys(
    path: Path, kind: str, strings: StringTable, keys: NDArray[np.uint64] | None
) -> None:
    count = len(strings)
    taken = min(count, _CHECKED_KEYS)
    rows = np.arange(taken, dtype=np.int64) * count // max(1, taken)
    name = "item_ids" if kind == "item" else "query_texts"
    found = np.zeros(taken, dtype=np.uint64)
    for start in range(0, taken, _KEYS_AT_ONCE):
        some = slice(start, start + _KEYS_AT_ONCE)
        found[some] = encoded_keys(strings.encoded(rows[some].tolist()))
    stored = found if keys is None else keys
    if not (stored[1:] > stored[:-1]).all():
        what = f"{name}.utf8" if keys is None else f"{kind}_keys.npy"
        raise GenerationCorrupt(f"{path}/{what} is not in ascending order of keys, each once")
    wrong = np.flatnonzero(found != stored[rows]) if keys is not None else np.zeros(0, np.int64)
    if len(wrong):
        raise GenerationCorrupt(
            f"{path}/{kind}_keys.npy is of other strings than {name}.utf8: row {rows[wrong[0]]} "
            "does not have the key of its string"
        )


def _check_units(path: Path, name: str, vectors: Float32s) -> None:
    # Of most vectors the second tells.
    is_one = len(vectors) >= _TELLING_ITEMS and name == "item_vectors"
    is_one = is_one and bool((vectors[1] == vectors[0]).all())
    for start in range(0, len(vectors), _BLOCK_ROWS):
        block = np.asarray(vectors[start : start + _BLOCK_ROWS])
        lengths = np.sqrt(np.einsum("ij,ij->i", block, block))
        # Written so that NaN fails, too.
        wrong = np.flatnonzero(~(np.abs(lengths - 1) <= _LENGTH_TOLERANCE))
        if len(wrong):
            what = "is not of length one" if np.isfinite(block[wrong[0]]).all() else "is not finite"
            raise GenerationCorrupt(f"{path}/{name}.npy: row {start + wrong[0]} {what}")
        is_one = is_one and bool((block == vectors[0]).all())
    if is_one:
        raise GenerationCorrupt(f"{path}/{name}.npy has one and the same vector for every item")


def _check_finite(generation: Generation) -> None:
    arrays = {
        "channel_attention_items": generation.channel_attention_items,
        "channel_attention_queries": generation.channel_attention_queries,
        **{f"encoder.{name}": array for name, array in generation.encoder.items()},
    }
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise GenerationCorrupt(f"{generation.path}/{name}.npy has numbers that are not finite")
        if (
            name.startswith("channel")
            and len(array)
            and not 0 <= array.min() <= array.max() <= _ONE
        ):
            raise GenerationCorrupt(f"{generation.path}/{name}.npy has a weight that is no share")


def _check_index_items(generation: Generation) -> None:
    path, index_items = generation.path, generation.index_items
    index_name = generation.index_path.name
    if index_name not in {entry.name for entry in generation.manifest.files}:
        raise GenerationCorrupt(
            f"the manifest of {path} does not list {index_name}, so it has no checksum"
        )
    if len(index_items) and (
        index_items.min() < 0 or index_items.max() >= len(generation.item_ids)
    ):
        raise GenerationCorrupt(
            f"{path}/index_items.npy names items that the generation does not have"
        )
    if not (index_items[1:] > index_items[:-1]).all():
        raise GenerationCorrupt(f"{path}/index_items.npy is not in ascending order")
    shown = generation.item_shown
    if not shown[index_items].all():
        raise GenerationCorrupt(f"the index of {path} holds items that must not be shown")
    if len(index_items) != int(shown.sum()):
        raise GenerationCorrupt(f"the index of {path} lacks items that may be shown")
