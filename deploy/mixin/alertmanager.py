"""The configuration of Prometheus and of Alertmanager: who asks whom, who is told."""

from typing import Any

from deploy.mixin.settings import Settings

JOBS = {"stream": 9101, "tuner": 9102, "refresher": 9104, "server": 9103, "probe": 9105}
"""The port that each process of compose.yaml serves its metrics at, by job."""

OPTIONAL_JOBS = ("sink",)
"""Jobs of processes that compose.yaml does not start. Whoever scrapes one is paged for
it as for the others.
"""

_GROUP_WAIT_SECONDS = 5
"""How long a first alert waits for those that come with it, so that inhibition knows of
them. Twice as long would take as much from the minute that a page has.
"""


def prometheus(settings: Settings) -> dict[str, Any]:
    """Return the configuration of Prometheus for compose.yaml."""
    every = f"{settings.scrape_seconds}s"
    return {
        "global": {
            "scrape_interval": every,
            "scrape_timeout": every,
            "evaluation_interval": every,
        },
        "rule_files": ["alerts.yml"],
        "alerting": {
            "alertmanagers": [{"static_configs": [{"targets": ["alertmanager:9093"]}]}],
        },
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [f"{job}:{port}"]}]}
            for job, port in JOBS.items()
        ],
    }


def alertmanager(settings: Settings) -> dict[str, Any]:
    """Return the configuration of Alertmanager: two receivers, and the inhibition."""
    wait = f"{_GROUP_WAIT_SECONDS}s"
    return {
        "route": {
            "receiver": "tickets",
            "group_by": ["alertname", "component"],
            "group_wait": wait,
            # Alerts that join a group that was told of.
            "group_interval": "1m",
            "repeat_interval": "12h",
            "routes": [
                {
                    "receiver": "pages",
                    "matchers": ['severity="page"'],
                    "group_interval": wait,
                    "repeat_interval": "1h",
                },
            ],
        },
        # What stops answers from getting fresher is told; that they get older goes
        # without saying meanwhile.
        "inhibit_rules": [
            {
                "source_matchers": ['role="outage"', 'severity="page"'],
                "target_matchers": ['role="symptom"'],
            },
            # A ticket never mutes a page.
            {
                "source_matchers": ['role="outage"'],
                "target_matchers": ['role="symptom"', 'severity="ticket"'],
            },
        ],
        "receivers": [
            {"name": name, "webhook_configs": [{"url": url, "send_resolved": True}]}
            for name, url in (
                ("pages", settings.page_webhook),
                ("tickets", settings.ticket_webhook),
            )
        ],
    }
