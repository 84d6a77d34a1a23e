"""How a value is checked: against a list, or between two bounds.

The bounds catch typing errors, a unit mistaken or a zero too many: chosen by hand, far
beyond any use, where no line says otherwise.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from stream.errors import SettingsInvalid

SECRET: Mapping[str, bool] = MappingProxyType({"secret": True})
"""Metadata of a field whose value is shown to nobody."""


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Check that a setting has one of some values.

    Raises:
        SettingsInvalid: it has not; the message names the key and the values.
    """
    if value not in choices:
        raise SettingsInvalid(f"stream.{name} is {value!r}; it must be {' or '.join(choices)}")


def check_bounds(name: str, value: float, low: float, high: float) -> None:
    """Check that a setting is neither too low nor too high, nor no number.

    Raises:
        SettingsInvalid: it is; the message names the key and the bounds.
    """
    if not low <= value <= high:
        raise SettingsInvalid(f"stream.{name} is {value}; it must be between {low} and {high}")
