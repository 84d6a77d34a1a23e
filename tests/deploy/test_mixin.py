"""Tests of what generates the rules: settings, sources, and who is told what."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.mixin.__main__ import main
from deploy.mixin.alertmanager import OPTIONAL_JOBS, alertmanager
from deploy.mixin.dashboards.pages import dashboards
from deploy.mixin.dashboards.panels import Dashboard, Panel, Threshold, to_json
from deploy.mixin.files import FOLDER, render
from deploy.mixin.kubernetes import prometheus_rule, service_monitors
from deploy.mixin.rules import alerts, groups
from deploy.mixin.settings import FILE, MixinError, load_settings
from tests.deploy.exported import exported

SETTINGS = load_settings()


def test_the_files_in_the_tree_are_those_of_the_source(capsys: pytest.CaptureFixture[str]) -> None:
    """Where this fails, `python -m deploy.mixin` brings them up to date."""
    assert main(["--check"]) == 0, capsys.readouterr().err


def test_a_file_that_differs_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The check finds what was changed by hand, and what is missing."""
    assert main(["--out", str(tmp_path)]) == 0
    (tmp_path / "prometheus" / "alerts.yml").write_text("groups: []\n")
    (tmp_path / "prometheus" / "alertmanager.yml").unlink()

    assert main(["--check", "--out", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "prometheus/alerts.yml is not what its source makes" in said
    assert "alertmanager.yml is not" in said
    assert "/prometheus.yml" not in said


def test_a_runbook_elsewhere_is_linked_from_every_alert(tmp_path: Path) -> None:
    """One setting moves all links."""
    own = tmp_path / "own.toml"
    text = FILE.read_text("utf-8").replace(
        SETTINGS.runbook_base_url, "https://wiki.example/freshet"
    )
    own.write_text(text)

    assert main(["--settings", str(own), "--out", str(tmp_path)]) == 0
    links = [
        rule["annotations"]["runbook_url"]
        for group in yaml.safe_load((tmp_path / "prometheus" / "alerts.yml").read_text("utf-8"))[
            "groups"
        ]
        for rule in group["rules"]
        if "alert" in rule
    ]
    assert links
    assert all(link.startswith("https://wiki.example/freshet#freshet") for link in links)


@pytest.mark.parametrize(("share", "is_told"), [(0.0, False), (0.4, True)])
def test_a_shop_may_compare_its_traffic_with_another_share(share: float, *, is_told: bool) -> None:
    """Or with none: then nobody is told."""
    found = [
        each["expr"]
        for each in alerts(replace(SETTINGS, least_traffic_share=share))
        if each["alert"] == "FreshetTrafficDropped"
    ]

    assert bool(found) == is_told
    assert all(f"< {share} * (" in expr for expr in found)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("surprise = 1", "surprise: the keys are runbook_base_url"),
        ('objective_share = "99%"', "objective_share is '99%'"),
        ("objective_share = 99.0", "objective_share is 99.0; give 0 to 1"),
        ("least_traffic_share = 1.0", "least_traffic_share is 1.0; give 0.0 to 1"),
    ],
)
def test_settings_that_are_wrong_are_named(
    line: str, problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unknown keys and wrong values end in one line that says what to give."""
    name = line.partition(" ")[0]
    kept = [each for each in FILE.read_text("utf-8").splitlines() if not each.startswith(name)]
    own = tmp_path / "own.toml"
    own.write_text("\n".join([*kept, line]))

    assert main(["--settings", str(own), "--out", str(tmp_path)]) == 1
    assert problem in capsys.readouterr().err


def test_the_operator_gets_the_same_rules_and_jobs() -> None:
    """PrometheusRule and ServiceMonitors agree with the files for Prometheus itself."""
    files = {name: list(yaml.safe_load_all(text)) for name, text in render(SETTINGS).items()}
    (prometheus,), (rules,) = files["prometheus/prometheus.yml"], files["prometheus/alerts.yml"]
    jobs = [job["job_name"] for job in prometheus["scrape_configs"]]

    assert prometheus_rule(SETTINGS)["spec"]["groups"] == rules["groups"]
    components = [
        monitor["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"]
        for monitor in service_monitors(SETTINGS)
    ]
    assert components == [*jobs, *OPTIONAL_JOBS]


def test_pages_go_where_pages_go() -> None:
    """Everything has a receiver, and pages have one of their own."""
    own = replace(SETTINGS, page_webhook="http://a/", ticket_webhook="http://b/")
    config = alertmanager(own)
    urls = {each["name"]: each["webhook_configs"][0]["url"] for each in config["receivers"]}
    (route,) = config["route"]["routes"]

    assert urls[config["route"]["receiver"]] == "http://b/"
    assert urls[route["receiver"]] == "http://a/"
    assert route["matchers"] == ['severity="page"']


def test_outages_mute_symptoms_and_no_ticket_mutes_a_page() -> None:
    """There are alerts of both roles, and whatever mutes a page is one."""
    roles = {rule["labels"].get("role") for rule in alerts(SETTINGS)}

    assert roles == {None, "outage", "symptom"}
    for rule in alertmanager(SETTINGS)["inhibit_rules"]:
        assert 'role="outage"' in rule["source_matchers"]
        assert 'role="symptom"' in rule["target_matchers"]
        assert (
            'severity="page"' in rule["source_matchers"]
            or 'severity="ticket"' in rule["target_matchers"]
        )


def test_an_alert_without_a_summary_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What every alert needs is asked for where it is written."""
    monkeypatch.setattr(
        "deploy.mixin.rules.yaml.safe_load",
        lambda _text: {
            "name": "odd",
            "rules": [{"alert": "Odd", "labels": {"severity": "page", "component": "server"}}],
        },
    )

    with pytest.raises(MixinError, match="Odd: an alert says in its summary"):
        alerts(SETTINGS)


def test_the_command_runs_from_the_root() -> None:
    """What the check prints to do can be done."""
    done = subprocess.run(
        [sys.executable, "-m", "deploy.mixin", "--check"], cwd=FOLDER.parent, check=False
    )

    assert done.returncode == 0


def _used(panel: Panel) -> str:
    return " ".join(panel.queries.values())


@pytest.mark.parametrize("page", dashboards(SETTINGS), ids=lambda page: page.uid)
def test_panels_say_what_they_show(page: Dashboard) -> None:
    """Each has a title of its own, a unit and a description; none overlaps another."""
    titles = [panel.title for panel in page.panels]
    placed = [each["gridPos"] for each in json.loads(to_json(page))["panels"]]
    cells = [
        (x, y)
        for place in placed
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]

    assert len(set(titles)) == len(titles)
    assert all(panel.description.endswith(".") and panel.unit for panel in page.panels)
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


def _axis(panel: Panel) -> dict[str, Any]:
    page = json.loads(to_json(Dashboard(uid="u", title="t", rows={"row": [panel]})))
    custom: dict[str, Any] = page["panels"][1]["fieldConfig"]["defaults"]["custom"]
    return {name: custom[name] for name in custom if "axis" in name or "scale" in name}


def test_a_line_that_moves_a_little_does_not_fill_the_panel() -> None:
    """Numbers are seen from 0, a share that must not fall up to 1, and stages of a
    millisecond beside one of minutes.
    """
    panel = Panel(title="t", description="d.", unit="s", queries={"a": "b"})
    floor = [Threshold(0.95, "FreshetItemsMissing", "ticket", is_floor=True)]

    assert _axis(panel) == {"axisSoftMin": 0}
    assert _axis(replace(panel, unit="percentunit")) == {}
    assert _axis(replace(panel, unit="percentunit", thresholds=floor)) == {"axisSoftMax": 1}
    assert _axis(replace(panel, is_log=True)) == {"scaleDistribution": {"type": "log", "log": 10}}


def test_lines_are_where_alerts_fire() -> None:
    """A threshold is a number of its alert's own expression, and as urgent."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for rule in alerts(SETTINGS):
        by_name.setdefault(rule["alert"], []).append(rule)
    drawn = [
        (panel, each)
        for page in dashboards(SETTINGS)
        for panel in page.panels
        for each in panel.thresholds
        if each.alert
    ]

    assert drawn
    for panel, each in drawn:
        rules = by_name[each.alert]
        assert each.severity in {rule["labels"]["severity"] for rule in rules}, panel.title
        numbers = {
            float(number)
            for rule in rules
            for number in re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w.])", rule["expr"])
        }
        # A gauge of 1 and 0 is wrong at 0; a burn rate is times what may be stale.
        allowed = {1.0} if each.is_floor else set()
        allowed |= {round(number * (1 - SETTINGS.objective_share), 9) for number in numbers}
        assert each.value in numbers | allowed, panel.title


def test_dashboards_ask_for_what_is_exported_or_recorded() -> None:
    """No panel names a series that neither a process nor a rule makes."""
    recorded = {
        rule["record"] for group in groups(SETTINGS) for rule in group["rules"] if "record" in rule
    }
    asked = " ".join(_used(panel) for page in dashboards(SETTINGS) for panel in page.panels)

    assert set(re.findall(r"freshet:[\w:]+", asked)) - recorded == set()
    assert set(re.findall(r"freshet_[a-z_]+", asked)) - exported() == set()
