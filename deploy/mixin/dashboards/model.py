"""The model: trainings and their verdicts, the fresh lane, how good the vectors are."""

from deploy.mixin.dashboards.panels import Dashboard, Panel, Threshold

MODEL = Dashboard(
    uid="freshet-model",
    title="Freshet / Model",
    rows={
        "Generations": [
            Panel(
                title="Runs of the tuner",
                description="In an hour, by outcome.",
                unit="short",
                queries={
                    "{{outcome}}": "sum by (outcome) (increase(freshet_tuner_runs_total[1h]))"
                },
            ),
            Panel(
                title="Since the last run that ended well",
                description="Above three periods while events come: FreshetTunerStalled (ticket).",
                unit="s",
                queries={
                    "{{instance}}": "time() - (freshet_tuner_last_success_timestamp_seconds > 0)",
                    "three periods": "3 * freshet_tuner_every_seconds",
                },
            ),
            Panel(
                title="Failures in a row",
                description="0: the last run ended well.",
                unit="short",
                queries={"{{instance}}": "freshet_tuner_failures_in_a_row"},
                thresholds=[Threshold(2, "FreshetTunerFailing", "ticket")],
            ),
            Panel(
                title="A run takes",
                description="From the snapshot to the publication, mean over an hour.",
                unit="s",
                queries={
                    "{{instance}}": (
                        "increase(freshet_tuner_run_seconds_sum[1h]) "
                        "/ increase(freshet_tuner_run_seconds_count[1h])"
                    )
                },
            ),
            Panel(
                title="Age of the live snapshot",
                description="How long ago the graph behind the live generation was looked at.",
                unit="s",
                queries={"{{instance}}": "freshet_server_snapshot_age_seconds"},
                thresholds=[Threshold(1800, "FreshetEmbeddingsStale", "page")],
            ),
            Panel(
                title="Active items",
                description="Of the catalogue, that may be shown, and those that can be.",
                unit="short",
                queries={
                    "active": "freshet_tuner_active_items",
                    "shown by {{instance}}": "freshet_server_shown_items",
                },
            ),
        ],
        "The fresh lane": [
            Panel(
                title="Age of the overlay",
                description="Since when some record may be missing from it.",
                unit="s",
                queries={"{{instance}}": "freshet_refresh_age_seconds"},
                thresholds=[Threshold(60, "FreshetRefresherBehind", "ticket")],
            ),
            Panel(
                title="A round takes",
                description="Without writing.",
                unit="s",
                queries={
                    f"p{percent}": (
                        f"histogram_quantile({percent / 100}, "
                        "sum by (le) (rate(freshet_refresh_round_seconds_bucket[5m])))"
                    )
                    for percent in (50, 99)
                },
            ),
            Panel(
                title="Size of the overlay",
                description="Items and queries that changed since the live generation.",
                unit="short",
                queries={
                    "items": "freshet_refresh_overlay_items",
                    "queries": "freshet_refresh_overlay_queries",
                },
                thresholds=[Threshold(20000, "FreshetOverlayLarge", "ticket")],
            ),
            Panel(
                title="Waiting",
                description="Changes that are read and not taken in, and nodes that wait.",
                unit="short",
                queries={
                    "changes": "freshet_refresh_waiting_changes",
                    "nodes": "freshet_refresh_carried",
                },
            ),
            Panel(
                title="Exactness of the overlay",
                description="Worst cosine of the last audit to what a full pass would give.",
                unit="none",
                queries={"{{instance}}": "freshet_refresh_audit_cosine"},
                thresholds=[Threshold(0.99, "FreshetVectorsDrift", "ticket", is_floor=True)],
            ),
            Panel(
                title="Vectors recomputed",
                description="A second, moved or not.",
                unit="ops",
                queries={"{{instance}}": "rate(freshet_refresh_recomputed_total[1m])"},
            ),
        ],
        "How good": [
            Panel(
                title="First pages in common with the generation before",
                description="Mean of sampled known queries, when it was loaded.",
                unit="percentunit",
                queries={"{{instance}}": "freshet_server_generation_overlap"},
                thresholds=[Threshold(0.3, "FreshetGenerationDrift", "ticket", is_floor=True)],
            ),
            Panel(
                title="What a refresh changes",
                description=(
                    "First pages that stayed, and cosines of items to those of the generation "
                    "before, when it was published. Less than half of the day's median: "
                    "FreshetGenerationDrift (ticket)."
                ),
                unit="percentunit",
                queries={
                    "first pages": "freshet_tuner_first_page_overlap",
                    "{{statistic}} cosine": "freshet_tuner_item_cosine",
                },
                # There is no cosine before the first refresh.
                is_rare=True,
            ),
            Panel(
                title="The newest clicks",
                description=(
                    "MRR and Recall@10 of the live generation on clicks that came after it, with "
                    "the bounds of 95 in 100; nothing where they are too few."
                ),
                unit="percentunit",
                queries={
                    "{{figure}} {{segment}} {{bound}}": "freshet_tuner_newest_clicks_quality",
                },
            ),
            Panel(
                title="The newest clicks, against the generations before",
                description="Relative to them, the upper bound of what is not chance.",
                unit="percentunit",
                queries={
                    "{{figure}} {{segment}}": 'freshet_tuner_newest_clicks_change{bound="high"}',
                },
                thresholds=[
                    Threshold(-0.05, "FreshetQualityDropped", "ticket", is_floor=True),
                ],
            ),
            Panel(
                title="Clicks that it was evaluated on",
                description="Queries of them; fewer than 200 are not judged.",
                unit="short",
                queries={"{{segment}}": "freshet_tuner_newest_clicks_queries"},
            ),
            Panel(
                title="Hits from the overlay, coverage",
                description=(
                    "Share of the items in answers that came or changed since the generation, and "
                    "of the active items that answers can have."
                ),
                unit="percentunit",
                queries={
                    "hits from the overlay": "freshet:overlay_hits:ratio_rate5m",
                    "coverage": "freshet:coverage:ratio",
                },
            ),
            Panel(
                title="Items without clicks found by their titles",
                description="Share that is among the first ten, in the live generation.",
                unit="percentunit",
                queries={"{{generation}}": "freshet_tuner_own_title_recall"},
                thresholds=[Threshold(0.8, "FreshetItemsNotFoundByTitle", "ticket", is_floor=True)],
                is_rare=True,
            ),
            Panel(
                title="Live recall of the index",
                description=(
                    "Of real queries, beside what the generation was judged by. .05 below it: "
                    "FreshetIndexRecallLow (ticket)."
                ),
                unit="percentunit",
                queries={
                    "live {{instance}}": "freshet_server_index_recall",
                    "certified": "freshet_server_index_certified_recall",
                },
            ),
        ],
    },
)
