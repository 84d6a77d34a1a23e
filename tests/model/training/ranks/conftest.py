"""A snapshot that several ranks train on, and settings with which they do."""

from collections.abc import Callable
from pathlib import Path

import pytest

from model.settings import ModelSettings
from stream.reading.snapshot import take_snapshot
from stream.settings import StreamSettings
from testing.small_shop import NOW_MS, fill_store, shop_events, shop_items, small_settings

Environment = dict[str, str]


@pytest.fixture(scope="session")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A snapshot of the small shop."""
    folder = tmp_path_factory.mktemp("ranks")
    fill_store(folder / "store", shop_events(400), shop_items())
    take_snapshot(folder / "store", folder / "snapshot", StreamSettings(), NOW_MS)
    return folder / "snapshot"


@pytest.fixture(scope="session")
def environment_of() -> Callable[[ModelSettings], Environment]:
    """A function that returns settings as environment variables, where they differ from
    the defaults.
    """

    def variables(settings: ModelSettings) -> Environment:
        return {
            f"FRESHET_MODEL_{name.upper()}": str(value).lower()
            for name, value in vars(settings).items()
            if value != getattr(ModelSettings(), name)
        }

    return variables


@pytest.fixture(scope="session")
def quick() -> ModelSettings:
    """Return settings of a few passes with an exact index."""
    settings = vars(small_settings()) | {
        "batch_size": 64,
        "max_passes": 3,
        "newest_passes": 2,
        "warm_passes": 2,
        "index_engine": "exact",
        "pretrained_text": "off",
        "gate_min_own_titles": 0.0,
    }
    return ModelSettings(**settings)
