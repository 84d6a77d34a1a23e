"""The overview: how fresh answers are, which stage makes them so, what is wrong."""

from deploy.mixin.dashboards.panels import Dashboard, Panel, Threshold
from deploy.mixin.settings import Settings


def overview(settings: Settings) -> Dashboard:
    """Return the dashboard."""
    return Dashboard(
        uid="freshet-overview",
        title="Freshet / Overview",
        rows={
            "The promise": [
                Panel(
                    title="Answers that are not fresh",
                    description=(
                        "Share of answers that do not have all that had reached the topics "
                        "server.objective_seconds ago, by their own receipts."
                    ),
                    unit="percentunit",
                    queries={
                        "5 minutes": "freshet:answers_stale:ratio_rate5m",
                        "1 hour": "freshet:answers_stale:ratio_rate1h",
                        "6 hours": "freshet:answers_stale:ratio_rate6h",
                    },
                    thresholds=[
                        Threshold(round(1 - settings.objective_share, 9), "", "promise"),
                        Threshold(
                            round(14.4 * (1 - settings.objective_share), 9),
                            "FreshetBudgetBurning",
                            "page",
                        ),
                    ],
                ),
                Panel(
                    title="Budget left of 30 days",
                    description="1: nothing was stale; below 0: the promise is broken.",
                    unit="percentunit",
                    queries={"left": "freshet:answers_budget_left:ratio"},
                    thresholds=[Threshold(0, "", "promise", is_floor=True)],
                ),
                Panel(
                    title="Age of answers",
                    description="By the receipt of each, over five minutes.",
                    unit="s",
                    queries={
                        f"p{percent}": (
                            f"histogram_quantile({percent / 100}, "
                            "sum by (le) (rate(freshet_server_answer_age_seconds_bucket[5m])))"
                        )
                        for percent in (50, 99)
                    },
                ),
            ],
            "From a click to an answer": [
                Panel(
                    title="Each stage, 99th percentile",
                    description=(
                        "From one stage to the next: broker (from the event's own time), consumed, "
                        "durable, embedded, published, served. The slowest is where to look."
                    ),
                    unit="s",
                    queries={"{{stage}}": "freshet:stage_seconds:p99_rate5m"},
                    is_log=True,
                ),
                Panel(
                    title="Each stage, median",
                    description="The same, of the event in the middle.",
                    unit="s",
                    queries={"{{stage}}": "freshet:stage_seconds:p50_rate5m"},
                    is_log=True,
                ),
                Panel(
                    title="Coverage",
                    description="Share of the active items that answers can have.",
                    unit="percentunit",
                    queries={"items": "freshet:coverage:ratio"},
                    thresholds=[Threshold(0.95, "FreshetItemsMissing", "ticket", is_floor=True)],
                ),
            ],
            "The probe": [
                Panel(
                    title="A step takes",
                    description=(
                        "From when Kafka had it to when an answer showed it, 90th percentile of "
                        "five minutes: an item, a click, a deletion."
                    ),
                    unit="s",
                    queries={
                        "{{step}}": (
                            "histogram_quantile(0.9, sum by (step, le) "
                            "(rate(freshet_probe_seconds_bucket[5m])))"
                        )
                    },
                    thresholds=[Threshold(10, "FreshetProbeSlow", "ticket")],
                ),
                Panel(
                    title="Lost",
                    description="Steps that no answer showed in time, in five minutes.",
                    unit="short",
                    queries={"{{step}}": "sum by (step) (increase(freshet_probe_lost_total[5m]))"},
                    thresholds=[Threshold(1.5, "FreshetProbeLost", "page")],
                ),
                Panel(
                    title="Answered",
                    description="Steps a minute, of those that were sent.",
                    unit="short",
                    queries={
                        "answered {{step}}": (
                            "60 * sum by (step) (rate(freshet_probe_answered_total[5m]))"
                        ),
                        "sent {{step}}": "60 * sum by (step) (rate(freshet_probe_sent_total[5m]))",
                    },
                ),
            ],
            "PostgreSQL": [
                Panel(
                    title="The sink is behind",
                    description="Since the database last had all that answers have.",
                    unit="s",
                    queries={"{{instance}}": "freshet_sink_behind_seconds"},
                    thresholds=[Threshold(1800, "FreshetSinkBehind", "ticket")],
                ),
                Panel(
                    title="Items",
                    description="Those that readers of the database see.",
                    unit="short",
                    queries={"{{instance}}": "freshet_sink_items"},
                ),
                Panel(
                    title="Looks that failed",
                    description="In five minutes, by class of error.",
                    unit="short",
                    queries={
                        "{{reason}}": "sum by (reason) (increase(freshet_sink_failures_total[5m]))"
                    },
                ),
            ],
            "What runs": [
                Panel(
                    title="Processes that answer",
                    description="1: Prometheus reads its metrics.",
                    unit="short",
                    queries={
                        "{{job}} {{instance}}": 'up{job=~"stream|tuner|refresher|server|probe"}',
                    },
                    thresholds=[Threshold(1, "FreshetProcessDown", "page", is_floor=True)],
                ),
                Panel(
                    title="Processes by what they say they are",
                    description="Fewer than answer: a stranger is on a port (FreshetStranger).",
                    unit="short",
                    queries={
                        "{{process}} {{version}}": "sum by (process, version) (freshet_build_info)"
                    },
                ),
                Panel(
                    title="Alerts",
                    description="Those that fire, by component.",
                    unit="short",
                    queries={
                        "{{component}}: {{alertname}}": (
                            "count by (component, alertname) "
                            '(ALERTS{alertstate="firing",alertname=~"Freshet.*"})'
                        ),
                    },
                    is_rare=True,
                ),
            ],
            "Traffic": [
                Panel(
                    title="Events applied",
                    description="A second, by type.",
                    unit="ops",
                    queries={"{{type}}": "freshet:events:rate1m"},
                ),
                Panel(
                    title="Queries answered",
                    description="A second, by where their vector came from.",
                    unit="ops",
                    queries={"{{path}}": "sum by (path) (rate(freshet_server_queries_total[1m]))"},
                ),
                Panel(
                    title="Hits from the overlay",
                    description=(
                        "Share of the items in answers that came or changed after the live "
                        "generation."
                    ),
                    unit="percentunit",
                    queries={"overlay": "freshet:overlay_hits:ratio_rate5m"},
                ),
            ],
        },
    )
