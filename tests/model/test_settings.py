"""Settings refuse what cannot work."""

import pytest

from model.errors import SettingsInvalid
from model.settings import ModelSettings


def test_the_defaults_are_within_their_bounds() -> None:
    """Nobody has to set anything."""
    ModelSettings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dim", 0),
        ("node_dropout", 1.0),
        ("learning_rate", float("nan")),
        ("num_trees", 0),
        ("seed", -1),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_name(name: str, value: float) -> None:
    """The message names the key, so that the operator finds it."""
    with pytest.raises(SettingsInvalid, match=f"model.{name}"):
        ModelSettings(**{name: value})  # type: ignore[arg-type]


def test_an_unknown_index_engine_is_refused_with_those_that_are_known() -> None:
    """Before anything is trained, not when the index is built."""
    with pytest.raises(SettingsInvalid, match=r"index_engine is 'any'.*auto, annoy, exact, ivf"):
        ModelSettings(index_engine="any")


def test_a_search_setting_of_no_engine_is_refused() -> None:
    """It counts other things in each, and ``auto`` chooses it."""
    with pytest.raises(SettingsInvalid, match=r"index_search_k is 5.*set it to 0, or name"):
        ModelSettings(index_search_k=5)
    assert ModelSettings(index_search_k=5, index_engine="ivf").index_search_k == 5


def test_an_unknown_device_is_refused_with_those_that_are_known() -> None:
    """A typo does not end in a stack of torch errors."""
    with pytest.raises(SettingsInvalid, match="auto, cpu, cuda"):
        ModelSettings(device="gpu")
