"""Tests of `freshet config`."""

import json
from pathlib import Path

from tests.freshet.conftest import Command


def test_config_shows_every_key(run: Command, tmp_path: Path) -> None:
    """For people a table, for scripts a list; both say where a value comes from."""
    path = tmp_path / "freshet.toml"
    path.write_text('[model]\ntune_every_seconds = "5m"\n')

    entries = json.loads(run("config", "--config", path, "--json").stdout)
    (entry,) = [each for each in entries if each["key"] == "tune_every_seconds"]

    assert entry == {
        "table": "model",
        "key": "tune_every_seconds",
        "value": 300.0,
        "source": "file",
        "variable": "FRESHET_MODEL_TUNE_EVERY_SECONDS",
    }
    assert "FRESHET_STREAM_ACTION_WEIGHTS" in run("config").stdout
