"""Every PromQL of every panel and rule, asked of a Prometheus with real processes."""

import re
from collections.abc import Iterator

from deploy.mixin.dashboards.pages import dashboards
from deploy.mixin.rules import groups
from deploy.mixin.settings import load_settings
from testing.monitoring.monitoring import Monitoring

_SERIES = re.compile(r"\b(?:freshet_\w+|up)\b(?:\{[^}]*\})?")

_NOT_ALWAYS_THERE = {
    "freshet_stream_broker_error_info",
    "freshet_stream_records_skipped_total",
    "freshet_tuner_last_failure_info",
    "freshet_refresh_behind_info",
    # Absent where the items without clicks are too few to judge.
    "freshet_tuner_own_title_recall",
    # Of a generation that somebody pinned, and of a server with several processes.
    "freshet_tuner_pinned_timestamp_seconds",
    "freshet_server_worker_up",
    "freshet_server_worker_restarts_total",
    # Where a process has a certificate.
    "freshet_certificate_expires_timestamp_seconds",
    "freshet_certificate_valid_from_timestamp_seconds",
}
"""Series that a healthy system of one process each does not have."""


def empty_panels(monitoring: Monitoring) -> list[str]:
    """Return the queries of panels that have nothing to show, or fail."""
    return [
        f"{page.uid}: {panel.title}: {expr}"
        for page in dashboards(load_settings())
        for panel in page.panels
        if not panel.is_rare
        for expr in panel.queries.values()
        if not monitoring.query(expr)
    ]


def blind_rules(monitoring: Monitoring) -> list[str]:
    """Return the rules that Prometheus cannot evaluate, that record nothing, or that
    ask for series that no process has.
    """
    failing = [
        f"{rule['name']}: {rule.get('lastError') or rule['health']}"
        for rule in monitoring.rules()
        if rule["health"] != "ok"
    ]
    return failing + list(_blind(monitoring))


def _blind(monitoring: Monitoring) -> Iterator[str]:
    for group in groups(load_settings()):
        for rule in group["rules"]:
            if "record" in rule and not monitoring.query(rule["record"]):
                yield f"{rule['record']} records nothing"
            for series in _SERIES.findall(rule["expr"]) if "alert" in rule else ():
                name = series.partition("{")[0]
                # A label of what is wrong (a code, a reason) need not be there.
                if name not in _NOT_ALWAYS_THERE and not monitoring.query(name):
                    yield f"{rule['alert']} asks for {name}, which no process has"
