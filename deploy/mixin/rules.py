"""The rules of Prometheus: those written in `rules/`, and those that are made: of the
stages, the budget and the traffic.
"""

from pathlib import Path
from typing import Any

import yaml

from deploy.mixin.budget import budget_groups
from deploy.mixin.settings import MixinError, Settings
from deploy.mixin.stages import stage_group
from deploy.mixin.traffic import traffic_group

Group = dict[str, Any]

_FOLDER = Path(__file__).parent / "rules"
_COMPONENTS = (
    "broker",
    "input",
    "stream",
    "tuner",
    "refresher",
    "server",
    "probe",
    "sink",
    "system",
)
"""Values of the label `component`: where it is wrong."""

_ROLES = ("outage", "symptom")
"""Values of the label `role`: what stops answers from getting fresher, and what is then
to be seen; the first mutes the second (`alertmanager`).
"""


def groups(settings: Settings) -> list[Group]:
    """Return all groups of rules, in order.

    Raises:
        MixinError: an alert lacks what every alert has.
    """
    written = [yaml.safe_load(path.read_text("utf-8")) for path in sorted(_FOLDER.glob("*.yaml"))]
    return [
        _with_runbook(group, settings)
        for group in (
            stage_group(),
            *budget_groups(settings),
            traffic_group(settings),
            *written,
        )
    ]


def alerts(settings: Settings) -> list[dict[str, Any]]:
    """Return the alerts of all groups."""
    return [rule for group in groups(settings) for rule in group["rules"] if "alert" in rule]


def _with_runbook(group: Group, settings: Settings) -> Group:
    rules = []
    for rule in group["rules"]:
        if "alert" not in rule:
            rules.append(rule)
            continue
        _check(rule)
        annotations = {**rule["annotations"], "runbook_url": settings.runbook_url(rule["alert"])}
        rules.append({**rule, "annotations": annotations})
    return {**group, "rules": rules}


def _check(rule: dict[str, Any]) -> None:
    name, labels = rule["alert"], rule.get("labels", {})
    component, role = labels.get("component", ""), labels.get("role")
    if labels.get("severity") not in {"page", "ticket"}:
        raise MixinError(f"{name}: severity is page or ticket, not {labels.get('severity')!r}")
    if component not in _COMPONENTS and not component.startswith("{{"):
        raise MixinError(f"{name}: component is one of {_COMPONENTS}, not {component!r}")
    if role not in {None, *_ROLES}:
        raise MixinError(f"{name}: role is one of {_ROLES} or absent, not {role!r}")
    if not rule.get("annotations", {}).get("summary"):
        raise MixinError(f"{name}: an alert says in its summary what is wrong, and where")
