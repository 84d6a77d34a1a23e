"""Recording rules of the stages: how long an event takes from one to the next."""

from typing import Any

_STAGES = {
    "broker, consumed, durable": (
        "sum by (le, stage) (rate(freshet_stream_stage_seconds_bucket[5m]))"
    ),
    "embedded": "sum by (le) (rate(freshet_refresh_embedded_seconds_bucket[5m]))",
    "published": "sum by (le) (rate(freshet_refresh_published_seconds_bucket[5m]))",
    "served": "sum by (le) (rate(freshet_server_overlay_published_seconds_bucket[5m]))",
    "end_to_end": "sum by (le) (rate(freshet_server_overlay_end_to_end_seconds_bucket[5m]))",
}
"""Buckets by stage, in the order that an event passes them; the last is from the broker
to answers, over all. The first three have the label themselves.
"""

QUANTILES = {"p50": 0.5, "p99": 0.99}
"""What is recorded of each stage, by the name in the rule's."""


def stage_group() -> dict[str, Any]:
    """Return the group that records the quantiles of each stage over five minutes."""
    rules = []
    for name, quantile in QUANTILES.items():
        for stage, buckets in _STAGES.items():
            rule: dict[str, Any] = {
                "record": f"freshet:stage_seconds:{name}_rate5m",
                "expr": f"histogram_quantile({quantile}, {buckets})",
            }
            if "," not in stage:
                rule["labels"] = {"stage": stage}
            rules.append(rule)
    return {"name": "stages", "rules": rules}
