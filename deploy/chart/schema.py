"""The schema of the chart's values, from values.yaml and the settings of Freshet."""

import dataclasses
import re
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from freshet.config import SETTINGS

FOLDER = Path(__file__).resolve().parents[1] / "helm" / "freshet"
"""The chart."""

_DURATION_KEYS = ("_ms", "_seconds", "_minutes", "_hours", "_days")
_HOST_PORT = r"[^\s,:]+:[0-9]{1,5}"
_OBJECTS = {"type": "array", "items": {"type": "object"}}
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_COUNT = {"type": "integer", "minimum": 1}
_ACCESS = {"enum": ["ReadWriteOnce", "ReadWriteMany"]}
_SIZE = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?([EPTGMk]|[EPTGM]i|Ki)?$"}
_ENVIRONMENT = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
            "value": {"type": "string"},
            "valueFrom": {"type": "object"},
        },
        "additionalProperties": False,
    },
}
# What a default alone does not say, by the end of a value's path; the longest counts.
_RULES: Mapping[str, Mapping[str, Any]] = {
    "kafka.bootstrap": {"pattern": f"^({_HOST_PORT}(,{_HOST_PORT})*)?$"},
    "kafka.securityProtocol": {"enum": ["", "PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]},
    "kafka.saslMechanism": {"enum": ["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]},
    "strimzi.apiVersion": {"enum": ["kafka.strimzi.io/v1beta2", "kafka.strimzi.io/v1"]},
    "strimzi.port": {"minimum": 1, "maximum": 65535},
    "topics.partitions": _COUNT,
    "topics.replicas": _COUNT,
    "image.pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "image.pullSecrets": {"items": {"type": "string"}},
    "accessMode": _ACCESS,
    "size": _SIZE,
    "stream.replicas": _COUNT,
    "server.replicas": _COUNT,
    "autoscaling.minReplicas": _COUNT,
    "autoscaling.maxReplicas": _COUNT,
    "targetCpuPercent": {"minimum": 1, "maximum": 100},
    "tuner.imageSuffix": {"enum": ["", "-cuda"]},
    "service.type": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
    "service.annotations": _TEXTS,
    "env": _ENVIRONMENT,
    "resources": {
        "type": "object",
        "properties": {"requests": {"type": "object"}, "limits": {"type": "object"}},
        "additionalProperties": False,
    },
    "nodeSelector": _TEXTS,
    "podAnnotations": _TEXTS,
    "tolerations": _OBJECTS,
    "disruption.maxUnavailable": {
        "type": ["integer", "string"],
        "minimum": 1,
        "pattern": "^[0-9]+%$",
    },
    "networkPolicy.clients": _OBJECTS,
    "networkPolicy.metrics": _OBJECTS,
    "networkPolicy.egress": _OBJECTS,
    "networkPolicy.kafkaPorts": {"items": {"type": "integer", "minimum": 1, "maximum": 65535}},
    "monitoring.labels": _TEXTS,
}


def values_schema() -> dict[str, Any]:
    """Return the JSON schema of values.yaml: each value has its default's type and the
    comment above it, and nothing else is a value.
    """
    text = (FOLDER / "values.yaml").read_text("utf-8")
    schema = _of(yaml.safe_load(text), "", comments(text))
    # Helm puts this one there for charts that use the chart as a part of theirs.
    schema["properties"]["global"] = {"type": "object"}
    return {"$schema": "http://json-schema.org/draft-07/schema#", **schema}


def comments(text: str) -> dict[str, str]:
    """Return the comment above each key of a values file, by the key's path."""
    found: dict[str, str] = {}
    path: list[str] = []
    above: list[str] = []
    for line in text.splitlines():
        if comment := re.fullmatch(r"\s*# ?(.*)", line):
            above.append(comment[1])
        elif key := re.match(r"( *)([A-Za-z]+):", line):
            path = [*path[: len(key[1]) // 2], key[2]]
            found[".".join(path)] = " ".join(above)
            above = []
        else:
            above = []
    return found


def _of(value: object, path: str, said: Mapping[str, str]) -> dict[str, Any]:
    about = {"description": said[path]} if said.get(path) else {}
    if path == "config":
        return about | _settings()
    rule = _rule(path)
    if isinstance(value, dict) and "type" not in rule:
        inner = {key: _of(item, f"{path}.{key}".lstrip("."), said) for key, item in value.items()}
        return {**about, "type": "object", "properties": inner, "additionalProperties": False}
    kinds = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}
    return {**about, "type": kinds[type(value)], **rule}


def _rule(path: str) -> Mapping[str, Any]:
    steps = path.split(".")
    ends = (".".join(steps[start:]) for start in range(len(steps)))
    return next((_RULES[end] for end in ends if end in _RULES), {})


def _settings() -> dict[str, Any]:
    """The tables of the TOML file, without secrets: a ConfigMap is for everybody."""
    tables = {}
    for table, settings in SETTINGS.items():
        hints = typing.get_type_hints(settings)
        keys = {
            field.name: _setting(field.name, hints[field.name])
            for field in dataclasses.fields(settings)
            if field.init and not field.metadata.get("secret")
        }
        tables[table] = {"type": "object", "properties": keys, "additionalProperties": False}
    return {"type": "object", "properties": tables, "additionalProperties": False}


def _setting(key: str, kind: object) -> dict[str, Any]:
    if isinstance(kind, types.UnionType):
        kind = next(each for each in typing.get_args(kind) if each is not types.NoneType)
    origin = typing.get_origin(kind)
    if origin in (dict, Mapping):
        _, value = typing.get_args(kind)
        is_number = value in (int, float)
        return {"type": "object"} | (
            {"additionalProperties": {"type": "number"}} if is_number else {}
        )
    if origin is tuple:
        return {"type": "array"}
    if kind in (int, float):
        number = "integer" if kind is int else "number"
        return {"type": [number, "string"] if key.endswith(_DURATION_KEYS) else number}
    return {"type": "boolean" if kind is bool else "string"}
