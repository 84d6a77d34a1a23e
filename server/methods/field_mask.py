"""Pure: which fields of an answer a request wants."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from server.errors import QueryRefused

# Paths of one mask: the contract has two dozen fields. Twice as many: no harm.
_MOST_PATHS = 100


@dataclass(slots=True)
class FieldTree:
    """Wanted fields of a message by name; of a field without any below it, all."""

    fields: dict[str, "FieldTree"] = field(default_factory=dict)


EVERYTHING = FieldTree()
"""The tree of a request without a mask."""


def parse_mask(paths: Iterable[str], message: Any) -> FieldTree:
    """Return the tree of a mask's paths, such as ``hits.item_id``.

    A path may lead through repeated messages, and then stands for that field of each.

    Args:
        paths: as sent; none: everything is wanted.
        message: the descriptor of what is answered with.

    Raises:
        QueryRefused: a path names no field, or there are too many.
    """
    tree = FieldTree()
    for number, path in enumerate(paths):
        if number >= _MOST_PATHS:
            raise QueryRefused(
                f"field_mask has more than {_MOST_PATHS} paths", request_field="field_mask"
            )
        _add(tree, path, message)
    return tree


def masked(message: Message, tree: FieldTree) -> None:
    """Clear the fields of a message that nobody wants."""
    if not tree.fields:
        return
    for described, value in message.ListFields():
        wanted = tree.fields.get(described.name)
        if wanted is None:
            message.ClearField(described.name)
        elif described.message_type is not None and wanted.fields:
            for each in value if described.is_repeated else (value,):
                masked(each, wanted)


def _add(tree: FieldTree, path: str, message: Any) -> None:
    """Add one path; one that is wanted as a whole stays so."""
    here = message
    is_whole = False
    for name in path.split("."):
        known: Mapping[str, object] = {} if here is None else here.fields_by_name
        if here is None or name not in known:
            shown = path if len(path) <= _MOST_PATHS else f"{path[:_MOST_PATHS]}..."
            raise QueryRefused(
                f"field_mask has the path {shown!r}, and {message.name} has no such field; "
                f"it has {', '.join(message.fields_by_name)}",
                request_field="field_mask",
            )
        is_whole = is_whole or (name in tree.fields and not tree.fields[name].fields)
        if not is_whole:
            tree = tree.fields.setdefault(name, FieldTree())
        here = here.fields_by_name[name].message_type
    if not is_whole:
        tree.fields.clear()
