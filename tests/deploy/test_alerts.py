"""Tests that the alert rules, their tests, the runbook and the
exported metrics agree.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from deploy.mixin.settings import load_settings
from tests.deploy.exported import exported

_ROOT = Path(__file__).resolve().parents[2]


def _load(name: str) -> Any:
    return yaml.safe_load((_ROOT / "deploy" / name).read_text("utf-8"))


def _rules() -> list[dict[str, Any]]:
    return [rule for rule in _all_rules() if "alert" in rule]


def _all_rules() -> list[dict[str, Any]]:
    return [rule for group in _load("alerts.yml")["groups"] for rule in group["rules"]]


def _cases() -> list[dict[str, Any]]:
    return [
        case
        for path in sorted((_ROOT / "deploy").glob("*_test.yml"))
        for case in _load(path.name)["tests"]
    ]


def test_every_metric_in_the_rules_isexported() -> None:
    """No alert asks for a series that no process serves, in its
    expression or its text.
    """
    text = (_ROOT / "deploy" / "alerts.yml").read_text("utf-8")
    used = set(re.findall(r"freshet_[a-z_]+", text))

    assert used - exported() == set()
    assert used


def test_every_alert_has_a_runbook_entry() -> None:
    """Each alert has a heading of its own name in the operations page
    and links to it.
    """
    headings = set(
        re.findall(
            r"^### (\w+)$", (_ROOT / "docs" / "operations.md").read_text("utf-8"), re.MULTILINE
        )
    )

    for rule in _rules():
        assert rule["alert"] in headings
        assert rule["annotations"]["runbook_url"] == load_settings().runbook_url(rule["alert"])


def test_every_alert_says_how_urgent_it_is() -> None:
    """Severity is page or ticket, and the summary names what is wrong."""
    for rule in _rules():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"]


def test_every_alert_is_tested_firing_and_quiet() -> None:
    """The rule tests have at least one moment at which each alert fires and one at
    which it does not.
    """
    fires: set[str] = set()
    quiet: set[str] = set()
    for case in _cases():
        for moment in case.get("alert_rule_test", []):
            (fires if moment["exp_alerts"] else quiet).add(moment["alertname"])
    alerts = {rule["alert"] for rule in _rules()}

    assert fires == alerts
    assert quiet == alerts


def test_every_recording_rule_is_tested() -> None:
    """Each is asked for by name in a test of the rules."""
    recorded = {rule["record"] for rule in _all_rules() if "record" in rule}
    asked = " ".join(
        moment["expr"] for case in _cases() for moment in case.get("promql_expr_test", [])
    )

    assert recorded
    assert {name for name in recorded if not re.search(rf"{name}\b", asked)} == set()


def test_jobs_named_by_alerts_are_scraped() -> None:
    """Prometheus scrapes exactly the jobs that the alert on dead processes watches."""
    (watched,) = re.findall(
        r'up\{job=~"([^"]+)"', (_ROOT / "deploy" / "alerts.yml").read_text("utf-8")
    )

    assert {job["job_name"] for job in _load("prometheus.yml")["scrape_configs"]} == set(
        watched.split("|")
    )
