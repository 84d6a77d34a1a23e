"""The provenance of a generation, for its manifest: code, settings and catalogue."""

from dataclasses import Field, asdict
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar, Protocol

from stream.graph.arrays import GraphArrays

CATALOG_KEY = "catalog_sha256"


def catalog_hash(arrays: GraphArrays) -> str:
    """Return a sha256 of the catalogue's data of every item."""
    digest = sha256()
    for strings in (arrays.item_ids, arrays.item_titles, arrays.item_texts):
        for string in strings:
            digest.update(string.encode("utf-8", "surrogatepass") + b"\0")
    digest.update(arrays.item_available.tobytes() + arrays.item_deleted.tobytes())
    attributes = arrays.item_attributes
    for string in (*attributes.names, *attributes.values):
        digest.update(string.encode("utf-8", "surrogatepass") + b"\0")
    for column in (attributes.name, attributes.item, attributes.value):
        digest.update(column.tobytes())
    return digest.hexdigest()


def code_version() -> str:
    """Return which Freshet this is."""
    try:
        return version("freshet")
    except PackageNotFoundError:
        return "unknown"


class _Settings(Protocol):
    """A dataclass; artifacts know nothing of the settings of training."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


def model_settings(settings: _Settings) -> dict[str, str]:
    """Return the settings as the manifest records them."""
    return {name: str(value) for name, value in asdict(settings).items()}
