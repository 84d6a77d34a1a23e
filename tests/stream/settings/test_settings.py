"""Settings: defaults that the contract names, bounds that are checked, messages that
name the key.
"""

import math
from typing import Any

import pytest

from stream.actions import Action
from stream.errors import SettingsInvalid
from stream.settings import StreamSettings


def test_defaults_are_the_contracts() -> None:
    """Half-life 30 days; cut after 30 minutes.

    Click 1, add-to-cart 2, purchase 4; a view weighs nothing.
    """
    settings = StreamSettings()

    assert settings.half_life_ms == 30 * 86_400_000
    assert settings.session_gap_ms == 30 * 60_000
    assert [settings.weight_of(action) for action in Action] == [0.0, 1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("half_life_seconds", 60.0),
        ("half_life_seconds", math.nan),
        ("session_gap_seconds", 0.5),
        ("session_gap_seconds", 31 * 86400.0),
        ("num_shards", 0),
        ("batch_records", 0),
        ("sync_every_ms", -1),
        ("memtable_bytes", 1),
        ("max_query_bytes", 0),
        ("snapshot_timeout_seconds", 0.0),
        ("follow_poll_seconds", 0.0),
        ("max_future_seconds", -1.0),
    ],
)
def test_value_out_of_bounds_is_refused(name: str, value: float) -> None:
    """A value that cannot work is refused with the key, the value and the bounds."""
    changed: dict[str, Any] = {name: value}

    with pytest.raises(SettingsInvalid, match=rf"stream\.{name} is .*; it must be between"):
        StreamSettings(**changed)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"quarantine_topic": "freshet.clicks"}, "so is stream.clicks_topic: what is rejected"),
        ({"quarantine_topic": "freshet.erasures"}, "so is stream.erasures_topic: what is rejected"),
        ({"catalog_topic": "t", "sessions_topic": "t"}, "so is stream.sessions_topic: the topic"),
        ({"erasures_topic": "freshet.catalog"}, "so is stream.erasures_topic: the topic says"),
        ({"clicks_topic": "a b"}, "clicks_topic is 'a b'; the name of a topic has letters"),
        ({"sessions_topic": "klicks-über"}, "sessions_topic is .* the name of a topic"),
        ({"quarantine_topic": ""}, "quarantine_topic is ''; the name of a topic"),
        ({"group_id": ""}, "group_id is empty; give the name of a consumer group"),
    ],
)
def test_topics_that_would_be_misread_are_refused(values: dict[str, Any], said: str) -> None:
    """Before a record is: what went to quarantine would come back, what is an item
    would be an event, and a name that Kafka does not take would be waited for.
    """
    with pytest.raises(SettingsInvalid, match=said):
        StreamSettings(**values)


def test_actions_may_share_a_topic_and_topics_may_be_left_out() -> None:
    """Their records say themselves what they are."""
    assert StreamSettings(clicks_topic="all", sessions_topic="all").clicks_topic == "all"
    assert not StreamSettings(sessions_topic="", catalog_topic="", erasures_topic="").catalog_topic


@pytest.mark.parametrize("horizon_seconds", [1.0, 4 * 86400.0 - 1])
def test_fold_age_shorter_than_twice_the_retention_is_refused(horizon_seconds: float) -> None:
    """What is still accepted must not be folded; none at all is the default."""
    with pytest.raises(
        SettingsInvalid, match=r"erasure_horizon_seconds is .* at least 345600\.0, twice"
    ):
        StreamSettings(erasure_horizon_seconds=horizon_seconds)

    assert StreamSettings().fold_age_ms == 0
    assert StreamSettings(erasure_horizon_seconds=4 * 86400.0).fold_age_ms == 4 * 86_400_000


@pytest.mark.parametrize("label", ["view", "clicks", "add_to_cart"])
def test_unknown_action_is_refused(label: str) -> None:
    """A weight for an action that makes no edge, or is not known, is refused with the
    known ones.
    """
    with pytest.raises(SettingsInvalid, match=f"'{label}'; known are click, add-to-cart, purchase"):
        StreamSettings(action_weights={label: 1.0})


def test_negative_weight_is_refused() -> None:
    """An action cannot weigh less than nothing."""
    with pytest.raises(SettingsInvalid, match=r"stream\.action_weights\.click is -1"):
        StreamSettings(action_weights={"click": -1.0})
