"""The chart takes Freshet's own names, and what it renders fits together.

`make check` renders it and runs its own tests (`deploy/helm/freshet/tests`).
"""

import copy
import dataclasses
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.chart.__main__ import main, render
from deploy.chart.definitions import schemas_of
from deploy.chart.rendered import problems_of
from deploy.chart.schema import FOLDER, comments, values_schema
from deploy.kafka.topics import TOPICS
from freshet.config import SETTINGS, load_config
from freshet.logs.settings import LogSettings

_ROOT = Path(__file__).resolve().parents[2]
_VALUES = (FOLDER / "values.yaml").read_text("utf-8")


def _keys(settings: type) -> set[str]:
    return {field.name for field in dataclasses.fields(settings)}


def test_what_is_generated_is_up_to_date() -> None:
    """Schema and topics are what their sources make."""
    assert main(["--check"]) == 0


def test_a_changed_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that somebody edited fails the check by its name, and is written anew."""
    monkeypatch.setattr("deploy.chart.__main__.FOLDER", tmp_path)
    written = main([])
    (tmp_path / "files" / "topics.yaml").write_text("", "utf-8")
    checked = main(["--check"])

    assert (written, checked) == (0, 1)
    assert "files/topics.yaml" in capsys.readouterr().err


def test_the_schema_knows_each_setting_and_no_secret() -> None:
    """The tables and keys of `config` are those of Freshet's file, without those that
    a ConfigMap would show.
    """
    tables = values_schema()["properties"]["config"]["properties"]
    secrets = {
        "sasl_oauthbearer_client_secret",
        "sasl_password",
        "schema_registry_password",
        "ssl_key_password",
    }

    assert {table: set(schema["properties"]) for table, schema in tables.items()} == {
        table: _keys(kind) - secrets for table, kind in SETTINGS.items()
    }
    assert not any(schema["additionalProperties"] for schema in tables.values())


def test_the_schema_takes_what_freshet_takes() -> None:
    """Of a duration number and text, of a count whole numbers alone."""
    stream = values_schema()["properties"]["config"]["properties"]["stream"]["properties"]

    assert stream["half_life_seconds"] == {"type": ["number", "string"]}
    assert stream["num_shards"] == {"type": "integer"}
    assert stream["action_weights"] == {
        "type": "object",
        "additionalProperties": {"type": "number"},
    }


def test_every_value_is_documented() -> None:
    """Each group of values has a comment, and each value one, or names that say it."""
    said = comments(_VALUES)
    values = yaml.safe_load(_VALUES)

    assert all(said[group] for group in values)
    assert said["server.autoscaling.targetCpuPercent"].startswith("Mean CPU of the pods")


def test_topics_of_the_chart_are_those_of_the_tests() -> None:
    """Strimzi makes the topics that the tests use, by the settings that name them."""
    topics = yaml.safe_load(render()["files/topics.yaml"])

    assert {topic["name"]: topic["config"] for topic in topics.values()} == {
        name: dict(config) for name, config in TOPICS.items()
    }
    assert set(topics) <= _keys(SETTINGS["stream"])


def test_the_chart_has_the_version() -> None:
    """Chart and images are of the version of the package."""
    chart = yaml.safe_load((FOLDER / "Chart.yaml").read_text("utf-8"))
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    assert (chart["version"], chart["appVersion"]) == (project["version"], project["version"])


def test_a_definition_becomes_a_schema_that_refuses_unknown_fields() -> None:
    """What a cluster would drop without a word is refused, what it keeps is not."""
    schema = {
        "type": "object",
        "properties": {
            "size": {"x-kubernetes-int-or-string": True},
            "free": {
                "type": "object",
                "properties": {"a": {"type": "string"}},
                "x-kubernetes-preserve-unknown-fields": True,
            },
        },
    }
    definition = {
        "spec": {
            "group": "kafka.strimzi.io",
            "names": {"kind": "KafkaTopic"},
            "versions": [{"name": "v1", "schema": {"openAPIV3Schema": schema}}],
        }
    }
    made = schemas_of(definition)

    assert list(made) == ["kafkatopic-kafka-v1.json"]
    (strict,) = made.values()
    assert strict["additionalProperties"] is False
    assert "additionalProperties" not in strict["properties"]["free"]
    assert strict["properties"]["size"]["type"] == ["integer", "string"]


_POD: dict[str, Any] = {
    "metadata": {"labels": {"app": "server"}},
    "spec": {
        "volumes": [{"name": "artifacts"}],
        "containers": [
            {
                "args": ["serve", "--artifacts", "/data/artifacts"],
                "ports": [{"name": "grpc"}],
                "volumeMounts": [{"name": "artifacts"}],
            }
        ],
    },
}
_RENDERED: list[dict[str, Any]] = [
    {"kind": "Deployment", "metadata": {"name": "server"}, "spec": {"template": _POD}},
    {
        "kind": "Service",
        "metadata": {"name": "server"},
        "spec": {"selector": {"app": "server"}, "ports": [{"targetPort": "grpc"}]},
    },
    {
        "kind": "ConfigMap",
        "metadata": {"name": "settings"},
        "data": {"freshet.toml": "[server]\nmax_k = 10\n"},
    },
]


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("max_k", "max_kk", "unknown key max_kk"),
        ('"--artifacts"', '"--artefacts"', "No such option"),
        ('"selector": {"app": "server"}', '"selector": {"app": "sever"}', "selects no pod"),
        ('"targetPort": "grpc"', '"targetPort": "http"', "goes to the port http"),
        ('"volumeMounts": [{"name": "artifacts"}]', '"volumeMounts": []', "mounts []"),
    ],
)
def test_what_does_not_fit_together_is_named(before: str, after: str, problem: str) -> None:
    """A setting, an option, a label, a port and a volume that are not there."""
    text = json.dumps(_RENDERED)
    broken = json.loads(text.replace(before, after))

    assert problems_of(copy.deepcopy(_RENDERED)) == []
    assert broken != _RENDERED
    (found,) = problems_of(broken)
    assert problem in found


def test_kafka_secrets_have_a_setting_for_a_file() -> None:
    """The chart mounts what Freshet reads from files, by keys that Freshet has."""
    template = (FOLDER / "templates" / "_config.tpl").read_text("utf-8")
    keys = set(re.findall(r'set \$(?:stream|server|log) "(\w+)"', template))
    known = set().union(*map(_keys, SETTINGS.values()))

    assert {"sasl_password_file", "tls_cert", "tokens"} <= keys <= known
    assert load_config(None, {}).log() == LogSettings()
