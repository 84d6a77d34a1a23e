"""What was done, by the names that a platform has for it."""

from collections.abc import Mapping
from dataclasses import dataclass

from stream.actions import Action
from stream.errors import SettingsInvalid
from stream.mapping.tables import choice_of, table_of

SEARCH_CLICK = "search-click"
"""The click that must have a query."""

IGNORE = "ignore"
"""What an action is mapped to that is in order and of no use."""

_ACTIONS: Mapping[str, Action] = {action.label: action for action in Action} | {
    SEARCH_CLICK: Action.CLICK
}


@dataclass(frozen=True, slots=True)
class MappedAction:
    """What a name of the platform means.

    Attributes:
        action: None: a record of it is in order and of no use.
        needs_query: it must have a query.
    """

    action: Action | None
    needs_query: bool = False


def action_of(actions: Mapping[str, MappedAction], name: str) -> MappedAction | None:
    """Return what a name of an action means; None: nothing says.

    Args:
        actions: of the platform; none: the names are those of neutral lines.
        name: in any capitals.
    """
    if actions:
        return actions.get(_action_name(name, own=True))
    known = _action_name(name, own=False)
    action = _ACTIONS.get(known)
    return None if action is None else MappedAction(action, needs_query=known == SEARCH_CLICK)


def check_action(place: str, actions: Mapping[str, MappedAction], name: object) -> None:
    """Check that a constant name of an action means something."""
    choice_of(place, _action_name(name, own=bool(actions)), actions or _ACTIONS)


def actions_of(place: str, value: object) -> dict[str, MappedAction]:
    """Return what each name of a table means, in small letters."""
    table = table_of(place, value)
    found: dict[str, MappedAction] = {}
    for name, meaning in (table or {}).items():
        ours = _action_name(meaning, own=False)
        choice_of(f"{place}.{name}", ours, (*_ACTIONS, IGNORE))
        own = _action_name(name, own=True)
        if own in found:
            raise SettingsInvalid(f"{place} has {name!r} twice: capitals make no difference")
        found[own] = MappedAction(_ACTIONS.get(ours), needs_query=ours == SEARCH_CLICK)
    return found


def _action_name(name: object, *, own: bool) -> str:
    """Return a name as it is compared; ours have ``-`` between words."""
    text = str(name).strip().lower()
    return text if own else text.replace("_", "-")
