"""A graph as plain arrays, to be sent to other ranks."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.graph.arrays import GraphArrays
from stream.graph.attributes import AttributeColumns

_ATTRIBUTES = "item_attributes"


def packed(arrays: GraphArrays) -> dict[str, NDArray[Any]]:
    """Return all fields of a graph as arrays, by name; texts as MessagePack in
    ``uint8``.
    """
    found = {field.name: getattr(arrays, field.name) for field in fields(arrays)}
    attributes: AttributeColumns = found.pop(_ATTRIBUTES)
    for field in fields(attributes):
        found[f"{_ATTRIBUTES}.{field.name}"] = getattr(attributes, field.name)
    return {name: _packed(value) for name, value in found.items()}


def unpacked(found: Mapping[str, NDArray[Any]]) -> GraphArrays:
    """Return the graph of which `packed` made arrays."""
    attributes = {
        field.name: _unpacked(found[f"{_ATTRIBUTES}.{field.name}"], field.type)
        for field in fields(AttributeColumns)
    }
    plain = {
        field.name: _unpacked(found[field.name], field.type)
        for field in fields(GraphArrays)
        if field.name != _ATTRIBUTES
    }
    return GraphArrays(**plain, item_attributes=AttributeColumns(**attributes))


def _packed(value: Any) -> NDArray[Any]:
    if isinstance(value, list):
        return np.frombuffer(msgspec.msgpack.encode(value), dtype=np.uint8)
    return np.asarray(value)


def _unpacked(array: NDArray[Any], kind: Any) -> Any:
    if kind == list[str]:
        return msgspec.msgpack.decode(array.tobytes(), type=list[str])
    return int(array) if kind is int else array
