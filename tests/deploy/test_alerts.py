"""Tests that the alert rules, their tests, the runbook and the
exported metrics agree.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from deploy.mixin.alertmanager import JOBS, OPTIONAL_JOBS
from deploy.mixin.settings import load_settings
from tests.deploy.exported import exported

_ROOT = Path(__file__).resolve().parents[2]
_FOLDER = _ROOT / "deploy" / "prometheus"


def _load(name: str) -> Any:
    return yaml.safe_load((_FOLDER / name).read_text("utf-8"))


def _rules() -> list[dict[str, Any]]:
    return [rule for rule in _all_rules() if "alert" in rule]


def _all_rules() -> list[dict[str, Any]]:
    return [rule for group in _load("alerts.yml")["groups"] for rule in group["rules"]]


def _cases() -> list[dict[str, Any]]:
    return [
        case for path in sorted(_FOLDER.glob("*_test.yml")) for case in _load(path.name)["tests"]
    ]


def test_every_metric_in_the_rules_isexported() -> None:
    """No alert asks for a series that no process serves, in its
    expression or its text.
    """
    text = (_FOLDER / "alerts.yml").read_text("utf-8")
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


_PARTS = ("Meaning", "Impact", "Diagnosis", "Mitigation", "How it was tried")


def _sections() -> dict[str, str]:
    """Return the text of each section of the runbook, by its heading."""
    page = (_ROOT / "docs" / "operations.md").read_text("utf-8")
    found = re.split(r"^### (\w+)$", page, flags=re.MULTILINE)[1:]
    return {
        heading: re.split(r"^##", text, flags=re.MULTILINE)[0]
        for heading, text in zip(found[::2], found[1::2], strict=True)
    }


def test_every_section_of_the_runbook_has_one_form() -> None:
    """How urgent, then five parts in one order, each with something in it."""
    sections = _sections()

    for rule in _rules():
        text = sections[rule["alert"]]
        urgency, *parts = re.split(r"^\*\*([A-Z][a-z ]+)\.\*\* ", text, flags=re.MULTILINE)
        assert tuple(parts[::2]) == _PARTS, rule["alert"]
        assert all(part.strip() for part in parts[1::2]), rule["alert"]
        assert f"**{rule['labels']['severity'].capitalize()}" in urgency or (
            f"**{rule['labels']['severity']}**" in urgency
        ), rule["alert"]


def test_a_diagnosis_begins_with_a_live_query_of_what_there_is() -> None:
    """It names a series that a process exports or a rule records, and what the command
    says of it, or that it says nothing.
    """
    recorded = {rule["record"] for rule in _all_rules() if "record" in rule}
    known = exported() | recorded | {"up"}

    for rule in _rules():
        text = _sections()[rule["alert"]]
        diagnosis = text.partition("**Diagnosis.**")[2].partition("**Mitigation.**")[0]
        quoted = " ".join(re.findall(r"`([^`]+)`", diagnosis))
        asked = set(re.findall(r"\b(?:freshet[_:][\w:]+|up)\b", quoted))
        assert asked & known, rule["alert"]
        assert re.search(r"freshet (status|why-stale)`?", diagnosis), rule["alert"]


def test_the_runbook_names_what_there_is() -> None:
    """Series and tests that it names exist; of faults, `tests/bench` says so."""
    recorded = {rule["record"] for rule in _all_rules() if "record" in rule}
    histograms = {name.removesuffix("_bucket") for name in exported()}
    known = exported() | histograms | recorded
    tests = " ".join(path.read_text("utf-8") for path in (_ROOT / "tests").rglob("test_*.py"))

    for rule in _rules():
        text = _sections()[rule["alert"]]
        series = set(re.findall(r"\bfreshet[_:][a-z][\w:]+[a-z0-9]\b", text))
        assert series - known == set(), rule["alert"]
        tried = text.partition("**How it was tried.**")[2]
        for path in re.findall(r"`((?:tests|deploy)/[\w/.]+)`", tried):
            assert (_ROOT / path).exists(), path
        for name in re.findall(r"`(test_\w+)`", tried):
            assert f"def {name}(" in tests, name


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
    """The alert on dead processes watches the jobs that Prometheus scrapes, and those
    of processes that compose.yaml does not start; so does the one on strangers.
    """
    rules = " ".join(str(rule["expr"]) for rule in _rules())
    (watched,) = re.findall(r'up\{job=~"([^"]+)"', rules)
    scraped = {job["job_name"] for job in _load("prometheus.yml")["scrape_configs"]}

    assert scraped == set(JOBS)
    assert set(watched.split("|")) == {*JOBS, *OPTIONAL_JOBS}
    assert set(re.findall(r'up\{job="([^"]+)"\} == 1', rules)) == {*JOBS, *OPTIONAL_JOBS}


def test_every_process_that_names_itself_is_watched() -> None:
    """Whatever serves metrics has a job."""
    services = (_ROOT / "freshet" / "commands" / "services").glob("*.py")
    named = {
        name
        for path in services
        for name in re.findall(r'name_process\(registry, "(\w+)"\)', path.read_text("utf-8"))
    }

    assert named == {*JOBS, *OPTIONAL_JOBS}
