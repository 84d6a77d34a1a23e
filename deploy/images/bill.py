"""Writes what an image holds: a bill of materials (CycloneDX), and its licences."""

import json
import re
from pathlib import Path
from typing import Any

from deploy.images.engine import FOLDER, Engine, image

# Runs in the image: the distributions of /venv as they describe themselves, and
# Debian's packages.
_ASK = """
import importlib.metadata, json, subprocess, sysconfig
folder = sysconfig.get_path("purelib")
python = [
    {
        "name": found.metadata["Name"],
        "version": found.version,
        "licence": found.metadata["License-Expression"] or "",
        "classifiers": found.metadata.get_all("Classifier") or [],
        "text": (found.metadata["License"] or "").strip(),
    }
    for found in importlib.metadata.distributions(path=[folder])
]
shown = subprocess.run(
    ["dpkg-query", "-W", "-f", "${Package} ${Version}\\n"], capture_output=True, text=True
).stdout
print(json.dumps({"python": python, "debian": [line.split() for line in shown.splitlines()]}))
"""
# A licence that is longer than a name is its text. In characters; twice as many would
# take first lines of texts for names.
_LONGEST_NAME = 60
# Not all machines may raise limits, and podman's own are higher than most.
_LIMITS = ("--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024")


def write_bill(engine: Engine, target: str) -> Path:
    """Write the bill of a built target beside the images, and return its path.

    Raises:
        ImagesError: the image does not run.
    """
    shown = engine.podman("run", "--rm", "--network=none", *_LIMITS, *_python(target))
    folder = FOLDER / "bills"
    folder.mkdir(exist_ok=True)
    path = folder / f"freshet-{target}.cdx.json"
    path.write_text(json.dumps(bill(target, json.loads(shown.stdout)), indent=1), "utf-8")
    return path


def _python(target: str) -> tuple[str, ...]:
    return ("--entrypoint=python", image(target), "-c", _ASK)


def bill(target: str, found: dict[str, Any]) -> dict[str, Any]:
    """Return a CycloneDX 1.5 document of what an image says that it holds."""
    python = [
        {
            "type": "library",
            "name": each["name"],
            "version": each["version"],
            "purl": f"pkg:pypi/{re.sub('[-_.]+', '-', each['name']).lower()}@{each['version']}",
            "licenses": [{"license": {"name": licence_of(each)}}],
        }
        for each in sorted(found["python"], key=lambda each: str(each["name"]).lower())
    ]
    debian = [
        {
            "type": "library",
            "name": name,
            "version": version,
            "purl": f"pkg:deb/debian/{name}@{version}",
        }
        for name, version in found["debian"]
    ]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {"type": "container", "name": f"freshet-{target}"}},
        "components": [*python, *debian],
    }


def licence_of(distribution: dict[str, Any]) -> str:
    """Return a distribution's licence: its expression, else its classifiers, else its
    text where that is a name.
    """
    if distribution["licence"]:
        return str(distribution["licence"])
    classified = [
        line.rpartition(" :: ")[2]
        for line in distribution["classifiers"]
        if line.startswith("License :: ") and line != "License :: OSI Approved"
    ]
    if classified:
        return " AND ".join(classified)
    first = distribution["text"].splitlines()[0] if distribution["text"] else ""
    return first if 0 < len(first) <= _LONGEST_NAME else "not said"


def licences(path: Path) -> dict[str, str]:
    """Return the licence of each Python distribution of a bill."""
    components = json.loads(path.read_text("utf-8"))["components"]
    return {
        each["name"]: each["licenses"][0]["license"]["name"]
        for each in components
        if "licenses" in each
    }
