"""Writes the files of a generation into a folder, and seals it with a manifest."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from google.protobuf import json_format
from numpy.typing import NDArray

from model.artifact.arrays.array_file import write_array
from model.artifact.attributes.table import ATTRIBUTES_PREFIX, STRINGS, AttributeTable
from model.artifact.files import PATHS_PREFIX
from model.artifact.fresh_arrays import FRESH_PREFIX, FreshArrays
from model.artifact.manifest import FORMAT_VERSION, MANIFEST_NAME
from model.artifact.paths import PathGraph
from protos import manifest_v1_pb2 as manifest_pb
from stream.files import sha256_of


class GenerationWriter:
    """Collects the files of one generation in a folder.

    `seal` writes the manifest that vouches for them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add_array(self, name: str, array: NDArray[np.generic]) -> None:
        """Write an array as ``<name>.npy`` (C order, never pickled)."""
        with (self.folder / f"{name}.npy").open("wb") as out:
            write_array(out, np.ascontiguousarray(array))

    def add_attributes(self, table: AttributeTable) -> None:
        """Write what filters may ask of the items as ``attributes.<name>``."""
        for name in STRINGS:
            self.add_strings(f"{ATTRIBUTES_PREFIX}{name}", getattr(table, name))
        for name, array in table.arrays().items():
            self.add_array(f"{ATTRIBUTES_PREFIX}{name}", array)

    def add_paths(self, graph: PathGraph) -> None:
        """Write the arrays of a graph of paths as ``paths.<name>.npy``."""
        for name, array in graph.arrays().items():
            self.add_array(f"{PATHS_PREFIX}{name}", array)

    def add_fresh(self, fresh: FreshArrays) -> None:
        """Write what the fresh lane continues from as ``fresh.<name>.npy``."""
        for name, array in fresh.arrays().items():
            self.add_array(f"{FRESH_PREFIX}{name}", array)
        self.add_strings(f"{FRESH_PREFIX}gone_ids", fresh.gone_ids)

    def add_strings(self, name: str, strings: Iterable[str]) -> None:
        """Write strings as ``<name>.utf8`` with ``<name>.offsets.npy`` (``int64 [n +
        1]``).
        """
        encoded = [string.encode("utf-8") for string in strings]
        offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
        np.cumsum([len(piece) for piece in encoded], out=offsets[1:])
        (self.folder / f"{name}.utf8").write_bytes(b"".join(encoded))
        self.add_array(f"{name}.offsets", offsets)

    def seal(self, manifest: manifest_pb.Generation) -> None:
        """Fill in size and sha256 of every file in the folder and
        write the manifest.
        """
        manifest.format_version = FORMAT_VERSION
        del manifest.files[:]
        for path in sorted(self.folder.iterdir()):
            manifest.files.add(
                name=path.name, size_bytes=path.stat().st_size, sha256=sha256_of(path)
            )
        text = json_format.MessageToJson(manifest, preserving_proto_field_name=True)
        (self.folder / MANIFEST_NAME).write_text(text + "\n", encoding="utf-8")
