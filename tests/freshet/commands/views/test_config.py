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


def test_secrets_are_masked(run: Command, tmp_path: Path) -> None:
    """Neither form shows more of them than that they are set, nor does an error."""
    path = tmp_path / "freshet.toml"
    lines = ["[stream]", 'security_protocol = "SASL_SSL"', 'sasl_mechanism = "PLAIN"']
    lines += ['sasl_username = "key"', 'sasl_password = "hush"']
    path.write_text("\n".join(lines))

    as_table, as_json = run("config", "--config", path), run("config", "--config", path, "--json")
    shown = {entry["key"]: entry["value"] for entry in json.loads(as_json.stdout)}

    assert as_table.returncode == as_json.returncode == 0
    assert "hush" not in as_table.stdout + as_json.stdout
    assert (shown["sasl_username"], shown["sasl_password"]) == ("key", "********")
    assert shown["ssl_key_password"] == ""

    path.write_text("[stream]\nsasl_password = 8437\n")
    refused = run("config", "--config", path)
    assert refused.returncode == 2
    assert "sasl_password must be text in quotes" in refused.stderr
    assert "8437" not in refused.stderr
