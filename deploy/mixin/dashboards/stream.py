"""The stream: what arrives, how far behind the graph is, what was refused or lost."""

from deploy.mixin.dashboards.panels import Dashboard, Panel, Threshold
from deploy.mixin.traffic import INTERACTIONS

STREAM = Dashboard(
    uid="freshet-stream",
    title="Freshet / Stream",
    rows={
        "Kafka": [
            Panel(
                title="Broker answers",
                description="1: it does. Each stream says it of the broker that it knows.",
                unit="short",
                queries={"{{instance}} {{bootstrap}}": "freshet_stream_broker_up"},
                thresholds=[Threshold(1, "FreshetBrokerSilent", "page", is_floor=True)],
            ),
            Panel(
                title="Broker silent for",
                description="Since it was last heard; 0: it answers.",
                unit="s",
                queries={"{{instance}}": "freshet_stream_broker_silent_seconds"},
                thresholds=[Threshold(30, "FreshetBrokerSilent", "page")],
            ),
            Panel(
                title="Who has shards",
                description="Processes of the consumer group, and shards without one.",
                unit="short",
                queries={
                    "processes": "max(freshet_stream_group_members)",
                    "shards of {{instance}}": "freshet_stream_shards",
                    "without owner": "max(freshet_stream_shards_without_owner)",
                },
            ),
        ],
        "How far behind": [
            Panel(
                title="Behind",
                description="How long the oldest record that is not applied has waited.",
                unit="s",
                queries={"{{instance}}": "freshet_stream_behind_seconds"},
                thresholds=[Threshold(300, "FreshetGraphBehind", "page")],
            ),
            Panel(
                title="Partitions that stand still",
                description=(
                    "How long records have waited while none of the partition was applied; "
                    "the five longest."
                ),
                unit="s",
                queries={
                    "{{topic}} {{partition}}": "topk(5, freshet_stream_partition_stuck_seconds)"
                },
                thresholds=[Threshold(30, "FreshetPartitionStuck", "page")],
            ),
            Panel(
                title="Records that wait",
                description="By topic; a backfill falls steadily.",
                unit="short",
                queries={"{{topic}}": "sum by (topic) (freshet_stream_behind_records)"},
            ),
        ],
        "What arrives": [
            Panel(
                title="Events applied",
                description="A second, by type.",
                unit="ops",
                queries={"{{type}}": "freshet:events:rate1m"},
            ),
            Panel(
                title="Shoppers' actions",
                description=(
                    "In a quarter of an hour, without the probe's; FreshetTrafficDropped compares "
                    "them with those of the same time a day and a week before."
                ),
                unit="short",
                queries={"now": INTERACTIONS},
            ),
            Panel(
                title="Shoppers' actions, days before",
                description="At the same time a day and a week before, once there is history.",
                unit="short",
                queries={
                    "a day before": f"{INTERACTIONS} offset 1d",
                    "a week before": f"{INTERACTIONS} offset 1w",
                },
                is_rare=True,
            ),
            Panel(
                title="New facts",
                description="A second: what was not known before.",
                unit="ops",
                queries={"{{instance}}": "rate(freshet_stream_new_facts_total[1m])"},
            ),
            Panel(
                title="Share quarantined",
                description="Of what arrives, over five minutes.",
                unit="percentunit",
                queries={"all reasons": "freshet:quarantined:ratio_rate5m"},
                thresholds=[Threshold(0.01, "FreshetQuarantineSurge", "ticket")],
            ),
            Panel(
                title="Quarantined, by reason",
                description="In five minutes.",
                unit="short",
                queries={
                    "{{reason}}": (
                        "sum by (reason) (increase(freshet_stream_quarantined_total[5m]))"
                    )
                },
            ),
            Panel(
                title="Lost, skipped, recreated",
                description="In an hour. Anything above 0 is somebody's work.",
                unit="short",
                queries={
                    "lost {{topic}}": (
                        "sum by (topic) (increase(freshet_stream_records_lost_total[1h]))"
                    ),
                    "recreated {{topic}}": (
                        "sum by (topic) (increase(freshet_stream_topics_recreated_total[1h]))"
                    ),
                },
            ),
            Panel(
                title="Clocks",
                description="How far the times in Kafka are ahead of the stream's clock.",
                unit="s",
                queries={"{{instance}}": "freshet_stream_clock_offset_seconds"},
                thresholds=[Threshold(60, "FreshetClockOffset", "ticket")],
            ),
        ],
        "The store": [
            Panel(
                title="A micro-batch takes",
                description="From its first record to its last write.",
                unit="s",
                queries={
                    f"p{percent}": (
                        f"histogram_quantile({percent / 100}, "
                        "sum by (le) (rate(freshet_stream_batch_seconds_bucket[5m])))"
                    )
                    for percent in (50, 99)
                },
            ),
            Panel(
                title="Writes that waited for the disk",
                description="Share of the time.",
                unit="percentunit",
                queries={"{{instance}}": "rate(freshet_stream_stalled_seconds_total[5m])"},
            ),
            Panel(
                title="Memory",
                description="Resident bytes of each process.",
                unit="bytes",
                queries={
                    "{{instance}}": 'process_resident_memory_bytes{job="stream"}',
                },
            ),
        ],
    },
)
