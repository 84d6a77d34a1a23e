"""The budget of stale answers: its recording rules, and the alerts on burning it.

Multi-window, multi-burn-rate alerts as in chapter 5 of "The Site Reliability Workbook"
(Beyer et al., 2018): a long window says that it matters, a short one that it goes on.
"""

from dataclasses import dataclass
from typing import Any

from deploy.mixin.settings import Settings

STALE_RATIO = "freshet:answers_stale:ratio_rate{window}"
"""Name of the share of stale answers over a window."""


_SLOW_SECONDS = 60
"""From one evaluation of the budget's rules to the next: the longest windows read a
month of samples. Twice as long would delay the fastest of its pages by a minute in
nine.
"""


@dataclass(frozen=True)
class _Burn:
    """How fast, over which windows, and how urgent.

    Attributes:
        factor: times the rate that would use the whole budget up in 30 days.
        long: window; with the factor it is 2, 5, 10 and 10% of the budget.
        short: window, a twelfth of it.
    """

    factor: float
    long: str
    short: str
    severity: str

    @property
    def least_samples(self) -> int:
        """Samples of the long window without which it says nothing: a sixth of it.

        Of a Prometheus that has just begun a bad minute is a great part of all that it
        knows; at a third, one that began half a day ago would miss a bad night.
        """
        unit = {"h": 3600, "d": 86_400}[self.long[-1]]
        return int(self.long[:-1]) * unit // 6 // _SLOW_SECONDS


# The table of the book's chapter, for 30 days.
_BURNS = (
    _Burn(14.4, "1h", "5m", "page"),
    _Burn(6, "6h", "30m", "page"),
    _Burn(3, "1d", "2h", "ticket"),
    _Burn(1, "3d", "6h", "ticket"),
)

WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d")
"""Windows that the share of stale answers is recorded over."""


def budget_groups(settings: Settings) -> list[dict[str, Any]]:
    """Return the recording rules of the budget, and its alerts."""
    recorded = [
        {
            "record": STALE_RATIO.format(window=window),
            "expr": (
                f'sum(rate(freshet_server_answers_total{{freshness!="fresh"}}[{window}]))\n'
                f"/ sum(rate(freshet_server_answers_total[{window}]))"
            ),
        }
        for window in WINDOWS
    ]
    left = f"1 - {STALE_RATIO.format(window='30d')} / {_allowed(settings)}"
    recorded.append({"record": "freshet:answers_budget_left:ratio", "expr": left})
    return [
        {
            "name": "budget, recorded",
            "interval": f"{_SLOW_SECONDS}s",
            "rules": recorded,
        },
        {
            "name": "budget",
            "interval": f"{_SLOW_SECONDS}s",
            "rules": [_alert(burn, settings) for burn in _BURNS],
        },
    ]


def _alert(burn: _Burn, settings: Settings) -> dict[str, Any]:
    allowed = f"{burn.factor} * {_allowed(settings)}"
    long, short = (STALE_RATIO.format(window=window) for window in (burn.long, burn.short))
    known = f"count_over_time({STALE_RATIO.format(window='5m')}[{burn.long}])"
    return {
        "alert": "FreshetBudgetBurning",
        "expr": f"{long} > {allowed}\nand\n{short} > {allowed}\n"
        f"and\n{known} >= {burn.least_samples}",
        "labels": {
            "severity": burn.severity,
            "component": "system",
            "role": "symptom",
            "window": burn.long,
        },
        "annotations": {
            "summary": (
                "{{ $value | humanizePercentage }} of the answers of the last "
                f"{burn.long} were older than promised, where "
                f"{_percent(1 - settings.objective_share)} may be"
            ),
        },
    }


def _allowed(settings: Settings) -> str:
    """Return the share of answers that may be stale, as PromQL reads it."""
    return f"{round(1 - settings.objective_share, 9):g}"


def _percent(share: float) -> str:
    return f"{round(100 * share, 9):g}%"
