"""The ranks of a training that `torchrun` started: the first one leads."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from model.settings import ModelSettings
from model.training.ranks.launch import launch_of, open_ranks

if TYPE_CHECKING:
    from model.training.ranks.group import RankGroup


@contextmanager
def launched_ranks(settings: ModelSettings) -> "Iterator[RankGroup | None]":
    """Yield the ranks of this training, or None where this process is alone.

    Raises:
        ModelError: the ranks cannot meet, or they differ.
    """
    launch = launch_of(os.environ)
    if launch is None:
        yield None
        return
    with open_ranks(launch, settings) as ranks:
        yield ranks


def has_followed(
    ranks: "RankGroup | None", settings: ModelSettings, is_stopped: Callable[[], bool]
) -> bool:
    """Do the part of a rank other than the first, until that one is through; return
    False at once on the first, or where this process is alone.

    Args:
        ranks: of `launched_ranks`.
        settings: of the model, the same on all ranks.
        is_stopped: this process is to end: then the training of all ranks does.

    Raises:
        RankLost: the first rank is gone, or this one cannot go on.
    """
    if ranks is None or ranks.is_first:
        return False
    from model.training.ranks.orders import follow  # noqa: PLC0415  # torch takes seconds

    follow(ranks, settings, is_stopped)
    return True


def leading(ranks: "RankGroup | None") -> AbstractContextManager[None]:
    """Have the other ranks end when the context does."""
    if ranks is None:
        return nullcontext()
    from model.training.ranks.orders import leading as leading_them  # noqa: PLC0415  # torch

    return leading_them(ranks)
