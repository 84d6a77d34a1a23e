"""The metrics of several workers as those of one server.

What is counted is added up, also of workers that are gone. What each worker does by
itself for the same event, such as a swap, counts once: as the worker has it that did
most. Of states the worst is told: the oldest age, the smallest readiness.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

Key = tuple[str, tuple[tuple[str, str], ...]]
"""Name and labels of a sample."""

Join = Callable[[Sequence[float]], float]

OF_PARENT: Final = frozenset(
    {
        "freshet_server_swap_refused",
        "freshet_server_newest_refused",
        "freshet_server_watcher_heartbeat_timestamp_seconds",
    }
)
"""What the process knows that looks after the workers: it loads generations."""

_SUMMED: Final = frozenset(
    {"freshet_server_open_calls", "freshet_server_waiting_calls", "freshet_server_calls_unseen"}
)
_LEAST: Final = frozenset(
    {
        "freshet_server_ready",
        "freshet_server_overlay_sequence",
        "freshet_server_shown_items",
        "freshet_server_generation_overlap",
        "freshet_server_index_recall",
        "freshet_server_index_certified_recall",
    }
)
_ONCE: Final = frozenset(
    {
        "freshet_server_swaps",
        "freshet_server_overlay_segments",
        "freshet_server_overlay_refused",
        "freshet_server_overlay_went_back",
    }
)


@dataclass(frozen=True, kw_only=True)
class Family:
    """A metric of one worker.

    Attributes:
        name: without the suffixes of its samples.
        help: what it says.
        type: ``counter``, ``gauge`` or ``histogram``.
        samples: value of each sample.
    """

    name: str
    help: str
    type: str
    samples: Mapping[Key, float]

    @property
    def is_added(self) -> bool:
        """Whether what a worker counted that is gone stays counted."""
        return self.type != "gauge" and self.name not in _ONCE


Families = Mapping[str, Family]

NO_FAMILIES: Final[Families] = MappingProxyType({})


def samples_of(registry: CollectorRegistry) -> list[list[Any]]:
    """Return the metrics of a worker as JSON can have them."""
    return [
        [
            family.name,
            family.documentation,
            family.type,
            [[sample.name, sample.labels, sample.value] for sample in family.samples],
        ]
        for family in registry.collect()
    ]


def families_of(found: Iterable[Sequence[Any]]) -> Families:
    """Return the metrics that `samples_of` made."""
    return {
        name: Family(
            name=name,
            help=help_text,
            type=kind,
            samples={
                (sample, tuple(labels.items())): math.nan if value is None else value
                for sample, labels, value in samples
                if not sample.endswith("_created")
            },
        )
        for name, help_text, kind, samples in found
    }


@dataclass(kw_only=True)
class Counted:
    """What one worker has counted, and those before it in its place.

    Attributes:
        now: what the worker that lives said last.
        before: what its predecessors counted.
    """

    now: Families = field(default_factory=lambda: NO_FAMILIES)
    before: dict[Key, float] = field(default_factory=dict)

    def is_gone(self) -> None:
        """Keep what the worker counted that has ended."""
        for family in self.now.values():
            if family.is_added:
                for key, value in family.samples.items():
                    self.before[key] = self.before.get(key, 0.0) + value
        self.now = NO_FAMILIES


def joined(workers: Sequence[Counted], parent: Families) -> list[Metric]:
    """Return the metrics of a server.

    Args:
        workers: what each has counted.
        parent: of the process that looks after them; what `OF_PARENT` names is taken.
    """
    families = {name: family for worker in workers for name, family in worker.now.items()}
    found = [parent[name] for name in sorted(OF_PARENT & parent.keys())]
    metrics = [_metric(family, [family.samples], {}) for family in found]
    for name, family in families.items():
        if name not in OF_PARENT:
            samples = [worker.now[name].samples for worker in workers if name in worker.now]
            before = [worker.before for worker in workers] if family.is_added else []
            metrics.append(_metric(family, samples, _added(before)))
    return metrics


def _added(parts: Sequence[Mapping[Key, float]]) -> dict[Key, float]:
    total: dict[Key, float] = {}
    for part in parts:
        for key, value in part.items():
            total[key] = total.get(key, 0.0) + value
    return total


def _metric(
    family: Family, workers: Sequence[Mapping[Key, float]], before: Mapping[Key, float]
) -> Metric:
    metric = Metric(family.name, family.help, family.type)
    join = _join_of(family)
    keys = dict.fromkeys(key for samples in workers for key in samples)
    for key in keys:
        values = [samples[key] for samples in workers if key in samples]
        told = [value for value in values if not math.isnan(value)]
        value = join(told) if told else math.nan
        metric.add_sample(key[0], dict(key[1]), value + before.get(key, 0.0))
    return metric


def _join_of(family: Family) -> Join:
    if family.is_added or family.name in _SUMMED:
        return math.fsum
    return min if family.name in _LEAST else max
