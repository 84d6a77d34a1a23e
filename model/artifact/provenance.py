"""Where a generation comes from: code, settings and catalogue, as its manifest says."""

from dataclasses import asdict
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version

from model.settings import ModelSettings
from stream.graph.arrays import GraphArrays

CATALOG_KEY = "catalog_sha256"


def catalog_hash(arrays: GraphArrays) -> str:
    """Return a sha256 of what the catalogue says of every item."""
    digest = sha256()
    for strings in (arrays.item_ids, arrays.item_titles, arrays.item_texts):
        for string in strings:
            digest.update(string.encode("utf-8", "surrogatepass") + b"\0")
    digest.update(arrays.item_available.tobytes() + arrays.item_deleted.tobytes())
    return digest.hexdigest()


def code_version() -> str:
    """Return which Freshet this is."""
    try:
        return version("freshet")
    except PackageNotFoundError:
        return "unknown"


def model_settings(settings: ModelSettings) -> dict[str, str]:
    """Return the settings as the manifest records them."""
    return {name: str(value) for name, value in asdict(settings).items()}
