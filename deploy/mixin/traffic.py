"""Whether shoppers' events still come: compared with the same time of the days before.

A shop at night and producers that are all dead look alike from what comes now alone.
"""

from typing import Any

from deploy.mixin.settings import Settings

INTERACTIONS = "freshet:interactions:increase15m"
"""Shoppers' actions of the last quarter of an hour, without the probe's clicks."""

# Actions of a quarter of an hour, before, without which nothing is compared: of 50 a
# fifth is never a matter of chance. Twice as many: quieter hours are not watched.
_LEAST_BEFORE = 50

# The two days: shops differ from Saturday to Sunday, and from week to week less.
_BEFORE = ("1d", "1w")

_EXPR = """\
{now} < {share} * ({now} offset {day})
and {now} < {share} * ({now} offset {week})
and ({now} offset {day}) > {least}
and ({now} offset {week}) > {least}
unless on () (
  max(max_over_time(freshet_stream_behind_seconds[15m])) > 30
  or
  min(min_over_time(up{{job="stream"}}[15m])) == 0
)"""


def traffic_group(settings: Settings) -> dict[str, Any]:
    """Return the group that counts what comes, and tells where it stops.

    Without the share there is no alert, and without a week of history nothing fires.
    What a stream has not applied yet, or did not read, has alerts of its own.
    """
    rules: list[dict[str, Any]] = [
        {
            "record": INTERACTIONS,
            "expr": (
                "clamp_min(sum(increase(freshet_stream_events_total"
                '{type=~"view|click|add-to-cart|purchase"}[15m])) '
                '- (sum(increase(freshet_probe_sent_total{step="click"}[15m])) or vector(0)), 0)'
            ),
        }
    ]
    if settings.least_traffic_share:
        day, week = _BEFORE
        rules.append(
            {
                "alert": "FreshetTrafficDropped",
                "expr": _EXPR.format(
                    now=INTERACTIONS,
                    share=settings.least_traffic_share,
                    least=_LEAST_BEFORE,
                    day=day,
                    week=week,
                ),
                "for": "5m",
                "labels": {"severity": "ticket", "component": "input", "role": "symptom"},
                "annotations": {
                    "summary": (
                        'shoppers did {{ $value | printf "%.0f" }} things in a quarter of an '
                        "hour, less than "
                        f"{settings.least_traffic_share:.0%} of what they did at this time a day "
                        "and a week ago: producers may be dead, or nobody can reach the shop"
                    )
                },
            }
        )
    return {"name": "traffic", "rules": rules}
