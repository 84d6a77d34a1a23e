"""The files of a generation: each checked against the manifest, and mapped as what it
holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.artifact.arrays.load import load_array
from model.artifact.arrays.strings import StringTable
from model.artifact.attributes.table import ARRAY_TYPES as ATTRIBUTE_TYPES
from model.artifact.attributes.table import ATTRIBUTES_PREFIX, AttributeTable
from model.artifact.encoder import ROWS
from model.artifact.fresh_arrays import ARRAY_TYPES as FRESH_TYPES
from model.artifact.fresh_arrays import FRESH_PREFIX, LAYER, FreshArrays
from model.artifact.paths import ARRAY_TYPES, PathGraph
from model.artifact.private_files import DigestOf, OpenFile
from model.errors import GenerationCorrupt
from protos import manifest_v1_pb2 as manifest_pb

ENCODER_PREFIX = "encoder."
PATHS_PREFIX = "paths."
WARM_PREFIX = "warm."
"""Of the names of files that a later training starts from; servers do not read them."""


def check_file(
    path: Path, entry: manifest_pb.File, open_file: OpenFile, digest_of: DigestOf | None
) -> None:
    """Check one file.

    Args:
        path: where it lies.
        entry: what the manifest says of it.
        open_file: where to read it.
        digest_of: returns the sha256 of what is read there; None: its size is enough.

    Raises:
        GenerationCorrupt: it is missing, or another than the manifest says.
    """
    try:
        content = open_file(path)
        size_bytes = content.stat().st_size
    except FileNotFoundError:
        raise GenerationCorrupt(f"{path} is missing; the manifest lists it") from None
    if size_bytes != entry.size_bytes:
        raise GenerationCorrupt(
            f"{path} has {size_bytes} bytes, its manifest has {entry.size_bytes}"
        )
    if digest_of is not None and digest_of(content) != entry.sha256:
        raise GenerationCorrupt(f"{path} does not have the sha256 that its manifest gives")


@dataclass(frozen=True, slots=True)
class GenerationFiles:
    """Maps the files of one generation, read-only.

    Each method raises `GenerationCorrupt` where a file is not listed, or holds
    something else.

    Attributes:
        path: the generation's folder.
        names: the files that its manifest lists.
        open_file: where to read each.
    """

    path: Path
    names: Sequence[str]
    open_file: OpenFile

    def keys(self, name: str) -> NDArray[np.uint64] | None:
        """Map an array of keys; None where the manifest does not list it."""
        return self.array(name, np.uint64) if f"{name}.npy" in self.names else None

    def attributes(self) -> AttributeTable | None:
        """Map the attributes; None where the manifest lists no part of them."""
        if not any(name.startswith(ATTRIBUTES_PREFIX) for name in self.names):
            return None
        arrays = {
            name: self.array(f"{ATTRIBUTES_PREFIX}{name}", dtype)
            for name, dtype in ATTRIBUTE_TYPES.items()
        }
        return AttributeTable(
            names=self.strings(f"{ATTRIBUTES_PREFIX}names"),
            values=self.strings(f"{ATTRIBUTES_PREFIX}values"),
            **arrays,
        )

    def paths(self) -> PathGraph | None:
        """Map the graph of paths; None where the manifest lists no part of it."""
        if not any(name.startswith(PATHS_PREFIX) for name in self.names):
            return None
        arrays = {
            name: self.array(f"{PATHS_PREFIX}{name}", dtype) for name, dtype in ARRAY_TYPES.items()
        }
        return PathGraph(**arrays)

    def fresh(self) -> FreshArrays | None:
        """Map what the fresh lane continues from; None where the manifest lists no part
        of it.
        """
        if not any(name.startswith(FRESH_PREFIX) for name in self.names):
            return None
        layers = sum(name.startswith(f"{FRESH_PREFIX}{LAYER}") for name in self.names)
        arrays = {
            name: self.array(f"{FRESH_PREFIX}{name}", dtype) for name, dtype in FRESH_TYPES.items()
        }
        return FreshArrays(
            **arrays,
            layers=tuple(
                self.array(f"{FRESH_PREFIX}{LAYER}{number}", np.float16)
                for number in range(1, layers + 1)
            ),
            gone_ids=self.strings(f"{FRESH_PREFIX}gone_ids"),
        )

    def named_arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """Map every array that the manifest lists under a prefix; names come without
        it.
        """
        dtypes = {f"{ENCODER_PREFIX}{ROWS}": np.int32}
        arrays = [
            name.removesuffix(".npy")
            for name in self.names
            if name.startswith(prefix) and name.endswith(".npy")
        ]
        return {
            name.removeprefix(prefix): self.array(name, dtypes.get(name, np.float32))
            for name in arrays
        }

    def array(self, name: str, dtype: type[np.generic]) -> NDArray[Any]:
        """Map an array of a type."""
        file = self._file(f"{name}.npy")
        array = load_array(file)
        if array.dtype != dtype:
            raise GenerationCorrupt(
                f"{self.path}/{name}.npy holds {array.dtype}, not {np.dtype(dtype)}"
            )
        return array

    def strings(self, name: str) -> StringTable:
        """Map a string table."""
        file = self._file(f"{name}.utf8")
        data = (
            np.memmap(file, dtype=np.uint8, mode="r")
            if file.stat().st_size
            else np.zeros(0, dtype=np.uint8)
        )
        offsets = self.array(f"{name}.offsets", np.int64)
        if offsets.ndim != 1 or not len(offsets):
            raise GenerationCorrupt(
                f"{self.path}/{name}.offsets.npy has shape {offsets.shape}, which bounds no strings"
            )
        return StringTable(offsets, data)

    def _file(self, name: str) -> Path:
        """Return where to read a file, which the manifest must vouch for."""
        if name not in self.names:
            raise GenerationCorrupt(f"{self.path / name} is missing; the manifest does not list it")
        return self.open_file(self.path / name)
