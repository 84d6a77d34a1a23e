"""Whether ranks are of one version and one mind: a training of differing ones would
learn nonsense, or hang.
"""

import json
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from model.artifact.provenance import code_version
from model.errors import TrainingRefused
from model.settings import ModelSettings
from model.training.ranks.group import RankGroup

# Settings that may differ from machine to machine.
_OF_THE_MACHINE = frozenset({"memory_bytes", "num_threads"})
# Differences that an error shows; more are of no use.
_SHOWN = 3


def check_alike(ranks: RankGroup, settings: ModelSettings) -> None:
    """Refuse ranks that differ in settings, in the version of Freshet or of torch.

    Raises:
        TrainingRefused: on all ranks, with what differs on which.
    """
    own: dict[str, Any] = {
        "the version of Freshet": code_version(),
        "the version of torch": version("torch"),
        **{
            f"model.{name}": value
            for name, value in asdict(settings).items()
            if name not in _OF_THE_MACHINE
        },
    }
    refuse_differing(ranks, own, "give all ranks the same files and options")


def refuse_differing(ranks: RankGroup, own: dict[str, Any], advice: str) -> None:
    """Refuse ranks of which something differs.

    Args:
        ranks: all of them.
        own: what has to be the same, by name, as JSON has it.
        advice: what to do.

    Raises:
        TrainingRefused: on all ranks, with what differs on which.
    """
    first, *others = (json.loads(text) for text in ranks.gather(json.dumps(own)))
    found = [
        f"{name} is {json.dumps(other.get(name))} on rank {rank}, {json.dumps(first.get(name))} "
        "on the first"
        for rank, other in enumerate(others, start=1)
        for name in sorted(first.keys() | other.keys())
        if first.get(name) != other.get(name)
    ]
    if found:
        more = f"; {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise TrainingRefused(f"ranks differ: {'; '.join(found[:_SHOWN])}{more}; {advice}")
