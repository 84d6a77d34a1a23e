"""Makes strict JSON schemas of an operator's kinds.

``python -m deploy.chart.definitions OUT DEFINITION...``, each a file of a
CustomResourceDefinition.
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml


def strict(schema: Any) -> Any:
    """Return the schema of a definition such that it refuses fields it does not know.

    A cluster drops them without a word. What Kubernetes adds to JSON schema
    (``x-kubernetes-int-or-string``) is said in JSON schema's own words.
    """
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if made.get("x-kubernetes-int-or-string") is True:
        made["type"] = ["integer", "string"]
    is_closed = isinstance(made.get("properties"), dict) and made.get("type") == "object"
    if is_closed and not made.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made


def schemas_of(definition: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of each version by the file name that kubeconform looks for."""
    spec = definition["spec"]
    kind, group = spec["names"]["kind"].lower(), spec["group"].split(".")[0]
    return {
        f"{kind}-{group}-{version['name']}.json": strict(version["schema"]["openAPIV3Schema"])
        for version in spec["versions"]
    }


def main(arguments: list[str]) -> int:
    """Write the schemas of all definitions to the folder; return the exit status."""
    folder, *paths = map(Path, arguments)
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        for name, schema in schemas_of(yaml.safe_load(path.read_text("utf-8"))).items():
            (folder / name).write_text(json.dumps(schema), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
