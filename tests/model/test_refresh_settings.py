"""Settings of the refresher refuse what cannot work."""

import pytest

from model.errors import SettingsInvalid
from model.refresh_settings import RefreshSettings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fresh_every_seconds", 0.0),
        ("max_overlay_items", 0),
        ("min_audit_cosine", float("nan")),
        ("audit_nodes", -1),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_name(name: str, value: float) -> None:
    """The message names the table and the key."""
    with pytest.raises(SettingsInvalid, match=rf"refresh\.{name}"):
        RefreshSettings(**{name: value})  # type: ignore[arg-type]
