"""Tables of the mapping, with the errors that name what is wrong in them."""

import difflib
from collections.abc import Iterable, Mapping, Sequence

from stream.errors import SettingsInvalid


def table_of(place: str, value: object) -> Mapping[str, object] | None:
    """Return a table that says something; None: there is none."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise SettingsInvalid(f"{place} must be a table, written [{place}], not {value!r}")
    if not value:
        raise SettingsInvalid(f"{place} is empty; say which field is what, or leave it out")
    return value


def choice_of(place: str, value: object, known: Iterable[str]) -> str:
    """Return one of some texts."""
    listed = [*known]
    if value not in listed:
        raise SettingsInvalid(f"{place} is {value!r}; it must be one of {', '.join(listed)}")
    return str(value)


def check_keys(place: str, table: Mapping[str, object], known: Sequence[str]) -> None:
    """Check that a table has no other keys than these."""
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            advice = f"did you mean {near[0]}? " if near else ""
            raise SettingsInvalid(
                f"{place} has the unknown key {key!r}; {advice}Known: {', '.join(known)}"
            )
