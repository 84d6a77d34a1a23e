"""Checks what kubeconform cannot know of a rendered chart.

``python -m deploy.chart.rendered FILE...``, each of ``helm template``: Freshet takes
the settings, its command the arguments, and whatever names something else names what
is there.
"""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import yaml

from freshet.commands.cli import cli
from freshet.config import ConfigError, load_config

Document = dict[str, Any]


def problems_of(documents: Sequence[Document]) -> list[str]:
    """Return what is wrong with the objects of a rendered chart; empty: nothing."""
    pods = [(_name(each), each["spec"]["template"]) for each in documents if _is_workload(each)]
    problems = [problem for name, pod in pods for problem in _problems_of_pod(name, pod)]
    for document in documents:
        if document["kind"] == "ConfigMap" and "freshet.toml" in document["data"]:
            problems += _problems_of_settings(document["data"]["freshet.toml"])
        wanted = _selector(document)
        selected = [pod for _, pod in pods if wanted.items() <= pod["metadata"]["labels"].items()]
        if wanted and not selected:
            problems.append(f"{_name(document)} selects no pod by {wanted}")
        if document["kind"] == "Service":
            problems += _problems_of_ports(document, selected)
    return problems


def _is_workload(document: Document) -> bool:
    return document["kind"] in ("Deployment", "StatefulSet")


def _name(document: Document) -> str:
    return f"{document['kind']} {document['metadata']['name']}"


def _selector(document: Document) -> dict[str, str]:
    spec = document.get("spec", {})
    if document["kind"] == "Service":
        selector: dict[str, str] = spec["selector"]
        return selector
    if document["kind"] == "ServiceMonitor":  # selects Services
        return {}
    by: dict[str, Any] = spec.get("podSelector", spec.get("selector", {}))
    labels: dict[str, str] = by.get("matchLabels", {})
    return labels


def _problems_of_ports(service: Document, pods: Sequence[Document]) -> Iterator[str]:
    for port in service["spec"]["ports"]:
        for pod in pods:
            named = {each["name"] for each in pod["spec"]["containers"][0]["ports"]}
            if port["targetPort"] not in named:
                yield f"{_name(service)} goes to the port {port['targetPort']}, which no pod has"


def _problems_of_pod(name: str, pod: Document) -> Iterator[str]:
    spec = pod["spec"]
    volumes = {volume["name"] for volume in spec["volumes"]}
    for container in spec["containers"]:
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        if mounted != volumes:
            yield f"{name} mounts {sorted(mounted)} of its volumes {sorted(volumes)}"
        arguments = container["args"]
        try:
            command, found, rest = cli.resolve_command(click.Context(cli), list(arguments))
            if found is not None:
                found.make_context(command, rest)
        except click.ClickException as error:
            yield f"{name}: freshet {' '.join(arguments)}: {error.format_message()}"


def _problems_of_settings(text: str) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "freshet.toml"
        path.write_text(text, "utf-8")
        try:
            load_config(path, {})
        except ConfigError as error:
            yield str(error).replace(str(path), path.name)


def main(paths: Sequence[str]) -> int:
    """Check each file; return the exit status."""
    problems = []
    for path in paths:
        documents = [each for each in yaml.safe_load_all(Path(path).read_text("utf-8")) if each]
        found = problems_of(documents) if documents else ["nothing was rendered"]
        problems += [f"{path}: {problem}" for problem in found]
    for problem in problems:
        print(f"chart: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
