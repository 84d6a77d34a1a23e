"""What an earlier generation is good for, and what it is not."""

from dataclasses import replace

import pytest

from model.artifact.channels import CHANNEL_NAMES
from model.artifact.generation import Generation, open_generation
from model.artifact.manifest import SPACED_WORDS_VERSION
from model.settings import ModelSettings
from model.training.warm_start import open_warm_start
from stream.graph.arrays import GraphArrays
from testing.small_generations import GOLDEN


def test_a_generation_whose_hyperedges_carried_no_clicks_is_ignored(
    arrays: GraphArrays, settings: ModelSettings, caplog: pytest.LogCaptureFixture
) -> None:
    """It lacks a weight of the network of today."""
    of_its_shape = replace(settings, dim=8, hidden=4, num_buckets=64)

    assert open_warm_start(open_generation(GOLDEN), arrays, of_its_shape) is None
    assert "fed_bipartite" in caplog.text


@pytest.mark.parametrize("names", [(*CHANNEL_NAMES, "images"), CHANNEL_NAMES[::-1]])
def test_a_generation_of_other_channels_is_ignored(
    generation: Generation,
    arrays: GraphArrays,
    settings: ModelSettings,
    caplog: pytest.LogCaptureFixture,
    names: tuple[str, ...],
) -> None:
    """Its attention weighs something else, even where the shapes fit."""
    assert open_warm_start(generation, arrays, settings) is not None
    generation.manifest.channels[:] = names

    assert open_warm_start(generation, arrays, settings) is None
    assert f"reason=its channels are {', '.join(names)}" in caplog.text


@pytest.mark.parametrize(("title", "is_usable"), [("Straße 5", True), ("蓝牙风扇", False)])
def test_a_generation_from_before_words_were_cut(
    generation: Generation,
    arrays: GraphArrays,
    settings: ModelSettings,
    caplog: pytest.LogCaptureFixture,
    title: str,
    *,
    is_usable: bool,
) -> None:
    """It is gone on from unless a text has other features by now."""
    generation.manifest.format_version = SPACED_WORDS_VERSION
    titles = [title, *arrays.item_titles[1:]]

    warm = open_warm_start(generation, replace(arrays, item_titles=titles), settings)

    assert (warm is not None) == is_usable
    assert ("reason=its words are not cut" in caplog.text) == (not is_usable)
