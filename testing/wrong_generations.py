"""Generations that are wrong in hundreds of ways, most with a manifest that vouches for
them: what a server must refuse.
"""

import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import json_format
from numpy.typing import NDArray

from model.artifact.index.annoy_file import HEADER_WORDS
from model.artifact.manifest import MANIFEST_NAME, read_manifest
from model.artifact.writer import GenerationWriter
from testing.small_generations import DIM, INDEX_NAME

Break = Callable[[Path], None]
"""Makes the generation in a folder wrong; its manifest vouches for that, or not."""

_NUM_TREE_BREAKS = 120
_STRINGS = ("item_ids", "item_titles", "query_texts")
_INTEGERS = ("item_keys", "index_items", "query_keys", *(f"{name}.offsets" for name in _STRINGS))
_VECTORS = ("item_vectors", "query_vectors")
_ATTENTION = ("channel_attention_items", "channel_attention_queries")


def wrong_generations(whole: Path) -> Iterator[tuple[str, Break]]:
    """Yield a name and what breaks a copy of a whole generation.

    Args:
        whole: the generation's folder.
    """
    yield from _wrong_shapes(whole)
    yield from _wrong_numbers()
    yield from _wrong_order()
    yield from _wrong_strings()
    yield from _wrong_attributes()
    yield from _wrong_trees(whole)
    yield from _wrong_manifests()
    yield from _wrong_files(whole)


def _sealed(change: Break) -> Break:
    """Return a break after which the manifest vouches for what is there."""

    def break_it(folder: Path) -> None:
        manifest = read_manifest(folder)
        (folder / MANIFEST_NAME).unlink()
        change(folder)
        GenerationWriter(folder).seal(manifest)

    return break_it


def _array(name: str, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Break:
    def break_it(folder: Path) -> None:
        file = folder / f"{name}.npy"
        changed = change(np.load(file))
        file.unlink()
        np.save(file, changed)

    return _sealed(break_it)


def _wrong_shapes(whole: Path) -> Iterator[tuple[str, Break]]:
    changes: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
        "one row less": lambda array: array[:-1],
        "one row more": lambda array: np.concatenate([array, array[-1:]]),
        "no row": lambda array: array[:0],
        "one more axis": lambda array: array[..., None],
        "another type": lambda array: array.astype(np.complex64),
        "pickled": lambda array: array.astype(object),
    }
    for file in sorted(whole.glob("*.npy")):
        for what, change in changes.items():
            yield f"{file.name} {what}", _array(file.stem, change)


def _set(row: int, value: float) -> Callable[[NDArray[Any]], NDArray[Any]]:
    def change(array: NDArray[Any]) -> NDArray[Any]:
        array[row] = value
        return array

    return change


def _wrong_numbers() -> Iterator[tuple[str, Break]]:
    for name in (*_VECTORS, *_ATTENTION):
        for value in (np.nan, np.inf, -3.0, 1e30):
            for row in (0, 7, -1):
                yield f"{name} row {row} is {value}", _array(name, _set(row, value))
        yield f"{name} doubled", _array(name, lambda array: array * 4)
    for name in ("bag", *(f"{tower}.hidden_bias" for tower in ("query", "item"))):
        for value in (np.nan, np.inf):
            yield f"encoder.{name} is {value}", _array(f"encoder.{name}", _set(0, value))
    yield "all item vectors equal", _array("item_vectors", _set(slice(None), 0.25))  # type: ignore[arg-type]
    for name in _INTEGERS:
        for what, change in {
            "plus one": lambda array: array + 1,
            "all equal": lambda array: array * 0 + array[0],
            "descending": lambda array: array[::-1],
            "last is huge": _set(-1, 2**31 - 1),
            "first is huge": _set(0, 2**31 - 1),
            "two are equal": lambda array: np.sort(np.r_[array[:-1], array[-3:-2]]),
        }.items():
            if (name, what) != ("item_titles.offsets", "two are equal"):
                yield f"{name} {what}", _array(name, change)
    yield "offsets below zero", _array("item_ids.offsets", _set(1, -5))
    yield "nothing is shown", _array("item_shown", np.zeros_like)
    yield "an item is hidden", _array("item_shown", lambda shown: np.r_[False, shown[1:]])


def _wrong_order() -> Iterator[tuple[str, Break]]:
    for name in (*_VECTORS, "encoder.bag", "encoder.query.out_weight"):
        for by in (1, 3, -2):
            yield f"{name} rolled by {by}", _array(name, partial(np.roll, shift=by, axis=0))
        yield f"{name} reversed", _array(name, lambda array: array[::-1])
        yield f"{name} mirrored", _array(name, lambda array: array[:, ::-1])
        yield f"{name} negative", _array(name, np.negative)


def _wrong_strings() -> Iterator[tuple[str, Break]]:
    def texts(name: str, change: Callable[[list[str]], list[str]]) -> Break:
        def break_it(folder: Path) -> None:
            offsets = np.load(folder / f"{name}.offsets.npy").tolist()
            data = (folder / f"{name}.utf8").read_bytes()
            found = [data[a:b].decode() for a, b in pairwise(offsets)]
            GenerationWriter(folder).add_strings(name, change(found))

        return _sealed(break_it)

    def data(name: str, change: Callable[[bytes], bytes]) -> Break:
        def break_it(folder: Path) -> None:
            file = folder / f"{name}.utf8"
            file.write_bytes(change(file.read_bytes()))

        return _sealed(break_it)

    for name in _STRINGS:
        yield f"{name} shifted", texts(name, lambda found: [*found[1:], found[0]])
        yield f"{name} reversed", texts(name, lambda found: found[::-1])
        yield f"{name} all the same", texts(name, lambda found: [found[1]] * len(found))
        yield f"{name} all empty", texts(name, lambda found: [""] * len(found))
        yield f"{name} one too few", texts(name, lambda found: found[:-1])
        for place in (0, 5, -1):
            for byte in (b"\xff", b"\xc3", b"\xf8"):

                def bad_byte(old: bytes, place: int = place, byte: bytes = byte) -> bytes:
                    at = place % len(old)
                    return old[:at] + byte + old[at + 1 :]

                yield f"{name} byte {place} is {byte!r}", data(name, bad_byte)
        yield f"{name} cut", data(name, lambda old: old[:-2])
        yield f"{name} longer", data(name, lambda old: old + b"x")
        yield f"{name} without bytes", data(name, lambda _old: b"")


def _wrong_attributes() -> Iterator[tuple[str, Break]]:
    """Change numbers of attributes, each of which a filter would follow."""
    for name in ("value_starts", "posting_starts", "list_starts"):
        for what, change in {
            "plus one": lambda array: array + 1,
            "second is huge": _set(1, 2**60),
            "second is below zero": _set(1, -1),
            "reversed": lambda array: array[::-1],
        }.items():
            yield f"attributes.{name} {what}", _array(f"attributes.{name}", change)
    for name in ("posting_items", "column_items", "column_values", "list_values"):
        for value in (-1, 2**31 - 1):
            for row in (0, 7, -1):
                yield (
                    f"attributes.{name} {row} is {value}",
                    _array(f"attributes.{name}", _set(row, value)),
                )
        yield f"attributes.{name} reversed", _array(f"attributes.{name}", lambda array: array[::-1])
    yield "attributes.numbers of a word", _array("attributes.numbers", _set(0, 1.0))
    yield "attributes.numbers all NaN", _array("attributes.numbers", lambda array: array * np.nan)
    yield "attributes.numbers plus one", _array("attributes.numbers", lambda array: array + 1)


def _wrong_trees(whole: Path) -> Iterator[tuple[str, Break]]:
    """Change single numbers of the tree, each of which Annoy would follow."""
    random = np.random.default_rng(0)
    num_items = len(np.load(whole / "index_items.npy"))
    num_nodes = (whole / INDEX_NAME).stat().st_size // (4 * (DIM + HEADER_WORDS))
    values = (-1, -(2**31), 2**31 - 1, num_nodes, num_nodes + 7, num_items, 0)

    def tree(node: int, word: int, value: int) -> Break:
        def break_it(folder: Path) -> None:
            file = folder / INDEX_NAME
            nodes = np.fromfile(file, dtype=np.int32).reshape(num_nodes, -1)
            before = nodes[node, word]
            # Never the number that is there.
            nodes[node, word] = value if value != before else before + 1
            nodes.tofile(file)

        return _sealed(break_it)

    for number in range(_NUM_TREE_BREAKS):
        node = int(random.integers(num_items, num_nodes))
        word = int(random.choice([0, 2, 3]))
        value = values[number % len(values)]
        yield f"tree node {node} word {word} is {value} ({number})", tree(node, word, value)
    for what, change in {
        "empty": lambda _old: b"",
        "zeros": lambda old: bytes(len(old)),
        "ones": lambda old: b"\xff" * len(old),
        "half": lambda old: old[: len(old) // 8 * 4],
        "a node less": lambda old: old[: -4 * (DIM + HEADER_WORDS)],
    }.items():

        def break_file(folder: Path, change: Callable[[bytes], bytes] = change) -> None:
            file = folder / INDEX_NAME
            file.write_bytes(change(file.read_bytes()))

        yield f"index of {what}", _sealed(break_file)


def _fields(change: Callable[[dict[str, Any]], object]) -> Break:
    """Return a break of the manifest's fields, as JSON has them."""

    def break_it(folder: Path) -> None:
        manifest = json_format.MessageToDict(
            read_manifest(folder), preserving_proto_field_name=True
        )
        change(manifest)
        (folder / MANIFEST_NAME).write_text(json.dumps(manifest))

    return break_it


def _with(**fields: object) -> Break:
    return _fields(lambda manifest: manifest.update(fields))


def _with_entry(place: int, **fields: object) -> Break:
    return _fields(lambda manifest: manifest["files"][place].update(fields))


def _listing(name: str) -> Break:
    entry = {"name": name, "size_bytes": 0, "sha256": ""}
    return _fields(lambda manifest: manifest["files"].append(entry))


def _unlisting(place: int) -> Break:
    return _fields(lambda manifest: manifest["files"].pop(place))


def _listing_twice(place: int) -> Break:
    return _fields(lambda manifest: manifest["files"].append(manifest["files"][place]))


def _with_canary(**fields: object) -> Break:
    return _fields(lambda manifest: manifest["canaries"][0].update(fields))


def _reading(text: bytes) -> Break:
    def break_it(folder: Path) -> None:
        (folder / MANIFEST_NAME).write_bytes(text)

    return break_it


def _wrong_manifests() -> Iterator[tuple[str, Break]]:
    for name in ("num_items", "num_queries", "num_indexed", "dim"):
        for value in (0, 1, 10**15):
            yield f"manifest {name} is {value}", _with(**{name: value})
    yield "manifest of another metric", _with(metric="hamming")
    yield "manifest of another generation", _with(generation_id="20260101T000000Z-abcdef")
    yield "manifest of a format to come", _with(format_version=99)
    yield "manifest of an unknown engine", _with(index={"engine": "../annoy"})
    for name in ("../../CURRENT", "/dev/zero", "/etc/hostname", "", ".", "a/b", MANIFEST_NAME):
        yield f"manifest lists {name!r}", _listing(name)
    for place in range(0, 20, 2):
        yield f"file {place} is not listed", _unlisting(place)
        yield f"file {place} is listed twice", _listing_twice(place)
        yield f"file {place} has another size", _with_entry(place, size_bytes=1)
        yield f"file {place} has another checksum", _with_entry(place, sha256="0" * 64)
    yield "canary of another item", _with_canary(item_id="x")
    yield "canary of another title", _with_canary(title="x")
    yield "canary of another cosine", _with_canary(cosine=-0.5)
    yield "canary of another query", _with_canary(query="x")
    texts = (b"", b"{", b"[]", b"\xff\xfe", b"{" * 100_000, b'{"files": 3}', b" " * (17 << 20))
    for text in texts:
        yield f"manifest of {len(text)} bytes {text[:4]!r}", _reading(text)


def _wrong_files(whole: Path) -> Iterator[tuple[str, Break]]:
    def replaced(name: str, put: Callable[[Path], object]) -> Break:
        def break_it(folder: Path) -> None:
            (folder / name).unlink()
            put(folder / name)

        return break_it

    names = ("item_vectors.npy", "item_ids.utf8", INDEX_NAME, MANIFEST_NAME)
    for name in names:
        yield f"{name} is missing", replaced(name, lambda _file: None)
        yield f"{name} is a pipe", replaced(name, os.mkfifo)
        yield f"{name} is a folder", replaced(name, Path.mkdir)
        yield f"{name} is a device", replaced(name, partial(_link, to=Path("/dev/zero")))
        yield f"{name} is a link to a good one", replaced(name, partial(_link, to=whole / name))
    for file in sorted(whole.iterdir()):
        if file.name != MANIFEST_NAME and file.stat().st_size:
            yield f"{file.name} cut", replaced(file.name, partial(_cut, of=file))

    def unlisted(folder: Path) -> None:
        (folder / "item_more.npy").write_bytes(b"x")

    yield "a file that nothing vouches for", unlisted


def _link(file: Path, *, to: Path) -> None:
    file.symlink_to(to)


def _cut(file: Path, *, of: Path) -> None:
    file.write_bytes(of.read_bytes()[:-1])
