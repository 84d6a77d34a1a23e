"""The list of channels: training, serving and explaining agree on it."""

from dataclasses import fields, replace
from itertools import product

import pytest

from model.artifact.channels import (
    CHANNEL_NAMES,
    CHANNELS,
    FIRST_CHANNELS,
    TEXT,
    channels_on,
    has_fused_step,
    switches_for,
)
from model.settings import ModelSettings


def test_each_switch_is_a_setting_that_is_on() -> None:
    """A channel that cannot be taken out cannot be judged."""
    defaults = {field.name: field.default for field in fields(ModelSettings)}

    assert {channel.switch for channel in CHANNELS if not channel.switch} <= {""}
    for channel in CHANNELS:
        assert (channel.name == TEXT) == (not channel.switch)
        assert not channel.switch or defaults[channel.switch] is True


def test_names_are_distinct_and_those_of_old_generations_come_first() -> None:
    """An attention vector of today is one of then with more behind it."""
    assert len(set(CHANNEL_NAMES)) == len(CHANNEL_NAMES)
    assert CHANNEL_NAMES[: len(FIRST_CHANNELS)] == FIRST_CHANNELS


@pytest.mark.parametrize("names", [(), ("bipartite",), ("hypergraph",), CHANNEL_NAMES])
def test_an_ablation_leaves_in_what_it_names(names: tuple[str, ...]) -> None:
    """And text, which every node has; id vectors go with the last channel of the
    graph.
    """
    settings = replace(ModelSettings(), **switches_for(names))

    assert channels_on(settings) == {TEXT, *names}
    assert settings.use_ids == bool(names)


def test_a_step_is_fused_where_nothing_is_switched_off() -> None:
    """The kernel is written for all of it."""
    for bipartite, hypergraph, ids in product((True, False), repeat=3):
        settings = ModelSettings(use_bipartite=bipartite, use_hypergraph=hypergraph, use_ids=ids)

        assert has_fused_step(settings) == (bipartite and hypergraph and ids)
