"""What a worker did since it started."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class WorkerTotals:
    """What a worker did since it started.

    Attributes:
        records: messages or lines read.
        applied: how many ``events`` (interactions), ``items`` (states of catalogue
            items) and ``searches`` (texts that actions may name) were applied.
            of the items ``older`` ones changed nothing: a newer state was known.
        new_facts: facts that were not stored before.
        quarantined: rejections.
        ignored: valid messages that are not about an item.
        batches: writes to the store, over all shards.
        watermark_ms: event time up to which the graph is applied; None: no event was
            applied.
    """

    records: int = 0
    applied: Counter[str] = field(default_factory=Counter)
    new_facts: int = 0
    quarantined: int = 0
    ignored: int = 0
    batches: int = 0
    watermark_ms: int | None = None

    @property
    def events(self) -> int:
        """Interactions applied."""
        return self.applied["events"]

    @property
    def older_items(self) -> int:
        """States of catalogue items that changed nothing, because a newer one was
        known.
        """
        return self.applied["older"]

    @property
    def items(self) -> int:
        """States of catalogue items applied."""
        return self.applied["items"]

    @property
    def searches(self) -> int:
        """Texts of searches applied, each once, though it may be for all shards."""
        return self.applied["searches"]
