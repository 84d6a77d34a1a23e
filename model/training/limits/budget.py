"""The time budget of a training: what is spent of it, and when each part has to end."""

import time
from dataclasses import dataclass, replace

from model.artifact.index.engine import estimate_index
from model.artifact.pretrained.encoder import block_dim
from model.errors import TrainingFailed
from model.settings import ModelSettings

# Share of the budget that pre-training may take. Chosen by hand; not tuned. Twice as
# much leaves a fifth of the budget for what is supervised.
_PRETRAINING_SHARE = 0.4
# Share of the budget that the passes leave to the closing ones. Chosen by hand; not
# tuned. Twice as much takes a tenth of it from passes that use up the budget.
_NEWEST_SHARE = 0.1
# Seconds that any export takes beside its index. Chosen by hand; not tuned. Twice as
# much only matters where the budget is a second or two.
_LEAST_EXPORT_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long a training may take, over restarts.

    Times are of `time.monotonic`, in seconds.

    Attributes:
        began: when training began; earlier by what was spent before a restart.
        seconds: longest time from the snapshot's arrays to the published generation.
        export_seconds: what the export and its index are expected to take of it.
    """

    began: float
    seconds: float
    export_seconds: float

    @staticmethod
    def of(settings: ModelSettings, num_items: int, began: float) -> "Budget":
        """Return the budget that the settings give a training of so many items."""
        text = block_dim(settings.pretrained_text, settings.pretrained_dim)
        beside = settings.most_words_dim + settings.most_walk_dim + settings.most_prior_dim
        dim = settings.dim + text + beside
        index = estimate_index(settings.index_engine, num_items, dim, settings)
        return Budget(
            began=began,
            seconds=settings.budget_seconds,
            export_seconds=_LEAST_EXPORT_SECONDS + index.build_seconds,
        )

    def after_restart(self, spent: float) -> "Budget":
        """Return the budget of a training that spent some seconds before a restart."""
        return replace(self, began=self.began - spent)

    def spent(self) -> float:
        """Return the seconds since training began."""
        return time.monotonic() - self.began

    @property
    def pretraining_end(self) -> float:
        """When pre-training has to end."""
        return self.began + _PRETRAINING_SHARE * self.seconds

    @property
    def passes_end(self) -> float:
        """When the passes have to end: some time is left for the closing ones."""
        return self.end - _NEWEST_SHARE * self.seconds

    @property
    def end(self) -> float:
        """When the last step has to end; half of the budget at least is for steps."""
        return self.began + self.seconds - min(self.export_seconds, self.seconds / 2)

    def refuse_no_step(self, steps: int) -> None:
        """Refuse a training that had no time for a step.

        A generation's watermark claims that its clicks are learned, so a run without a
        step must not publish.

        Args:
            steps: steps done.

        Raises:
            TrainingFailed: there were none.
        """
        if not steps:
            raise TrainingFailed(
                f"the budget of {self.seconds:g} s was over before the first step; "
                "raise model.budget_seconds"
            )
