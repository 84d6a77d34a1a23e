"""The server: traffic, errors, latency, saturation; swaps and the overlay."""

from deploy.mixin.dashboards.panels import Dashboard, Panel, Threshold

SERVER = Dashboard(
    uid="freshet-server",
    title="Freshet / Server",
    rows={
        "Calls": [
            Panel(
                title="Calls",
                description="A second, by method and the status that their callers see.",
                unit="reqps",
                queries={"{{method}} {{code}}": "freshet:requests:rate1m"},
            ),
            Panel(
                title="Failed inside",
                description="Share of the calls that are the server's fault.",
                unit="percentunit",
                queries={"all": "freshet:requests_failed:ratio_rate5m"},
                thresholds=[Threshold(0.01, "FreshetServerErrors", "page")],
            ),
            Panel(
                title="Refused",
                description="A second, by reason; overload is the server's, the rest its callers'.",
                unit="reqps",
                queries={
                    "{{reason}}": "sum by (reason) (rate(freshet_server_calls_refused_total[1m]))"
                },
            ),
            Panel(
                title="Shed by gRPC",
                description=(
                    "A second, before the server sees them; more than one in twenty for five "
                    "minutes: FreshetServerOverloaded (page)."
                ),
                unit="reqps",
                queries={"{{instance}}": "clamp_min(deriv(freshet_server_calls_unseen[5m]), 0)"},
            ),
            Panel(
                title="A query takes",
                description="Its wait for a thread included, 99th percentile.",
                unit="s",
                queries={"p99": "freshet:request_seconds:p99_rate5m"},
                thresholds=[Threshold(0.25, "FreshetServerSlow", "ticket")],
            ),
            Panel(
                title="Waiting for a thread",
                description="99th percentile of the wait.",
                unit="s",
                queries={
                    "p99": (
                        "histogram_quantile(0.99, "
                        "sum by (le) (rate(freshet_server_wait_seconds_bucket[5m])))"
                    )
                },
            ),
            Panel(
                title="Open calls",
                description="Of which some wait for a thread.",
                unit="short",
                queries={
                    "open {{instance}}": "freshet_server_open_calls",
                    "waiting {{instance}}": "freshet_server_waiting_calls",
                },
            ),
        ],
        "What it answers from": [
            Panel(
                title="Ready",
                description="1: a generation is live.",
                unit="short",
                queries={"{{instance}}": "freshet_server_ready"},
                thresholds=[Threshold(1, "FreshetServerNotReady", "page", is_floor=True)],
            ),
            Panel(
                title="Newest generation refused",
                description="1: it answers from an older one.",
                unit="short",
                queries={"{{instance}}": "freshet_server_newest_refused"},
                thresholds=[Threshold(1, "FreshetSwapRefused", "ticket")],
            ),
            Panel(
                title="Swaps",
                description="In an hour.",
                unit="short",
                queries={"{{instance}}": "increase(freshet_server_swaps_total[1h])"},
            ),
            Panel(
                title="Age of the live overlay",
                description="How long ago the broker's time was up to which answers have all.",
                unit="s",
                queries={"{{instance}}": "freshet_server_overlay_age_seconds"},
                thresholds=[Threshold(60, "FreshetAnswersBehind", "ticket")],
            ),
            Panel(
                title="The overlay",
                description="Items and queries with a vector in it, and items that are gone.",
                unit="short",
                queries={"{{kind}}": "sum by (kind) (freshet_server_overlay_rows)"},
            ),
            Panel(
                title="The watcher's last look",
                description="At CURRENT; it stands still while a generation loads.",
                unit="s",
                queries={
                    "{{instance}}": (
                        "time() - (freshet_server_watcher_heartbeat_timestamp_seconds > 0)"
                    )
                },
                thresholds=[Threshold(600, "FreshetWatcherStalled", "ticket")],
            ),
        ],
        "The running session, the machine": [
            Panel(
                title="Members of sessions",
                description="A second, by what became of them.",
                unit="ops",
                queries={
                    "{{outcome}}": (
                        "sum by (outcome) (rate(freshet_server_context_members_total[1m]))"
                    )
                },
            ),
            Panel(
                title="CPU",
                description="Cores that each process uses.",
                unit="short",
                queries={
                    "{{job}} {{instance}}": (
                        'rate(process_cpu_seconds_total{job=~"stream|tuner|refresher|server"}[1m])'
                    )
                },
            ),
            Panel(
                title="Memory",
                description="Resident bytes; a swap needs two generations for a moment.",
                unit="bytes",
                queries={
                    "{{job}} {{instance}}": (
                        'process_resident_memory_bytes{job=~"tuner|refresher|server"}'
                    )
                },
            ),
        ],
    },
)
