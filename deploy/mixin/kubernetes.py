"""The same rules and targets for the Prometheus Operator, in its own kinds."""

from typing import Any

from deploy.mixin.alertmanager import JOBS, OPTIONAL_JOBS
from deploy.mixin.rules import groups
from deploy.mixin.settings import Settings

_API = "monitoring.coreos.com/v1"
_PART_OF = {"app.kubernetes.io/part-of": "freshet"}


def prometheus_rule(settings: Settings) -> dict[str, Any]:
    """Return a PrometheusRule with all groups."""
    return {
        "apiVersion": _API,
        "kind": "PrometheusRule",
        "metadata": {"name": "freshet", "labels": _PART_OF},
        "spec": {"groups": groups(settings)},
    }


def service_monitors(settings: Settings) -> list[dict[str, Any]]:
    """Return a ServiceMonitor a process.

    Its Service has the labels `app.kubernetes.io/part-of: freshet` and
    `app.kubernetes.io/component`, the process, which becomes the job that alerts go by;
    its port with metrics is named so.
    """
    every = f"{settings.scrape_seconds}s"
    return [
        {
            "apiVersion": _API,
            "kind": "ServiceMonitor",
            "metadata": {"name": f"freshet-{job}", "labels": _PART_OF},
            "spec": {
                "jobLabel": "app.kubernetes.io/component",
                "selector": {"matchLabels": {**_PART_OF, "app.kubernetes.io/component": job}},
                "endpoints": [{"port": "metrics", "interval": every, "scrapeTimeout": every}],
            },
        }
        for job in (*JOBS, *OPTIONAL_JOBS)
    ]
