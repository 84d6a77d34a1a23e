"""Panels, and the JSON of a dashboard that is made of them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_COLUMNS = 24  # of Grafana's grid
_WIDTH = 8  # of a panel: three a row; half as many would be read from afar alone
_HEIGHT = 8  # of a panel, in Grafana's units
_SCHEMA = 39  # of dashboards, as Grafana 10 and later read them
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
_COLORS = {"page": "red", "ticket": "orange", "promise": "blue"}


@dataclass(frozen=True)
class Threshold:
    """A line in a panel.

    Attributes:
        value: where, in the panel's unit.
        alert: that fires beyond it; empty: a promise.
        severity: page, ticket, or promise.
        is_floor: below it is wrong, not above.
    """

    value: float
    alert: str
    severity: str
    is_floor: bool = False


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A graph.

    Attributes:
        title: what is shown, in a few words.
        description: how to read it, and what to do where it is wrong.
        unit: Grafana's name of it, such as "s", "percentunit", "short".
        queries: PromQL by the legend of its series, which may name labels as
            ``{{label}}``.
        thresholds: lines to draw.
        is_rare: True: nothing to see is the usual case, not an empty panel.
        is_log: True: its series differ by powers of ten, and each must be seen.
    """

    title: str
    description: str
    unit: str
    queries: dict[str, str]
    thresholds: Sequence[Threshold] = ()
    is_rare: bool = False
    is_log: bool = False


@dataclass(frozen=True, kw_only=True)
class Dashboard:
    """A page of panels.

    Attributes:
        uid: its name in addresses.
        title: its name on the page.
        rows: panels by the heading above them.
    """

    uid: str
    title: str
    rows: dict[str, Sequence[Panel]]

    @property
    def panels(self) -> list[Panel]:
        """All panels, in order."""
        return [panel for row in self.rows.values() for panel in row]


def to_json(dashboard: Dashboard) -> str:
    """Return the text of the file that Grafana imports."""
    panels: list[dict[str, Any]] = []
    top = 0
    for heading, row in dashboard.rows.items():
        place = {"h": 1, "w": _COLUMNS, "x": 0, "y": top}
        panels.append({"type": "row", "title": heading, "collapsed": False, "gridPos": place})
        top += 1
        for number, panel in enumerate(row):
            line, column = divmod(number, _COLUMNS // _WIDTH)
            place = {
                "h": _HEIGHT,
                "w": _WIDTH,
                "x": column * _WIDTH,
                "y": top + line * _HEIGHT,
            }
            panels.append({**_panel(panel), "gridPos": place})
        top += _HEIGHT * -(-len(row) // (_COLUMNS // _WIDTH))
    for number, each in enumerate(panels, start=1):
        each["id"] = number
    page = {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["freshet"],
        "schemaVersion": _SCHEMA,
        "editable": False,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "utc",
        "graphTooltip": 1,
        "links": [
            {"type": "dashboards", "tags": ["freshet"], "asDropdown": False, "title": "Freshet"}
        ],
        "templating": {
            "list": [{"name": "datasource", "type": "datasource", "query": "prometheus"}],
        },
        "panels": panels,
    }
    return json.dumps(page, indent=2, ensure_ascii=False) + "\n"


def _panel(panel: Panel) -> dict[str, Any]:
    custom: dict[str, Any] = {"fillOpacity": 8, "lineWidth": 1, "showPoints": "never"}
    custom.update(_axis(panel))
    defaults: dict[str, Any] = {"unit": panel.unit, "custom": custom}
    if panel.thresholds:
        custom["thresholdsStyle"] = {"mode": "line"}
        defaults["thresholds"] = {"mode": "absolute", "steps": _steps(panel.thresholds)}
    return {
        "type": "timeseries",
        "title": panel.title,
        "description": " ".join([panel.description, *map(_told, panel.thresholds)]),
        "datasource": _DATASOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": _DATASOURCE,
                "expr": expr,
                "legendFormat": legend,
                "range": True,
            }
            for number, (legend, expr) in enumerate(panel.queries.items())
        ],
    }


def _axis(panel: Panel) -> dict[str, Any]:
    """Return where the axis begins and ends at least.

    A line that moves a little must not fill the panel, and a share that should be near
    1 is looked at there, not from 0.
    """
    if panel.is_log:
        return {"scaleDistribution": {"type": "log", "log": 10}}
    if panel.unit != "percentunit":
        return {"axisSoftMin": 0}
    if any(each.is_floor for each in panel.thresholds):
        return {"axisSoftMax": 1}
    return {"axisSoftMin": 0} if panel.thresholds else {}


def _steps(thresholds: Sequence[Threshold]) -> list[dict[str, Any]]:
    """Return Grafana's steps: a colour from a value on; the first is for all below."""
    floors = [each for each in thresholds if each.is_floor]
    below = _COLORS[floors[0].severity] if floors else "green"
    steps: list[dict[str, Any]] = [{"value": None, "color": below}]
    for each in sorted(thresholds, key=lambda threshold: threshold.value):
        color = "green" if each.is_floor else _COLORS[each.severity]
        steps.append({"value": each.value, "color": color})
    return steps


def _told(threshold: Threshold) -> str:
    side = "below" if threshold.is_floor else "above"
    if not threshold.alert:
        return f"Promised: not {side} {threshold.value:g}."
    return f"{side.capitalize()} {threshold.value:g}: {threshold.alert} ({threshold.severity})."
