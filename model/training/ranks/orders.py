"""What the first rank has the others do: train with it on a graph that it sends, wait,
or end.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from model.errors import ModelError, RankLost
from model.settings import ModelSettings
from model.training.ranks.group import RankGroup
from model.training.ranks.packed import packed, unpacked
from stream.graph.arrays import GraphArrays

logger = logging.getLogger(__name__)

_TRAIN, _WAIT, _END = "train", "wait", "end"


@contextmanager
def leading(ranks: RankGroup) -> Iterator[None]:
    """On the first rank: have the others end when the context does, however it does."""
    try:
        yield
    except RankLost:
        # They are gone, or in the midst of a step: they end by the closed connection.
        raise
    except BaseException:
        _tell(ranks, _END)
        raise
    _tell(ranks, _END)


def call_to_train(ranks: RankGroup, arrays: GraphArrays) -> None:
    """On the first rank: have the others call `train_on` with a graph, and call it
    next.

    Raises:
        RankLost: another rank is gone.
    """
    _tell(ranks, _TRAIN)
    with _lost_named(ranks):
        ranks.arrays(packed(arrays))


def call_to_wait(ranks: RankGroup) -> None:
    """On the first rank: tell the others that it is alive; within an hour each time.

    Raises:
        RankLost: another rank is gone.
    """
    _tell(ranks, _WAIT)


def follow(ranks: RankGroup, settings: ModelSettings, is_cancelled: Callable[[], bool]) -> None:
    """On ranks other than the first: train whenever it says so, until it says to end.

    A training that the ranks agree has failed is the first one's to report.

    Args:
        ranks: all of them.
        settings: the same on all of them.
        is_cancelled: as in `model.training.train.train`.

    Raises:
        RankLost: the first rank is gone, or this one cannot go on.
    """
    from model.training.train import train_on  # noqa: PLC0415  # it imports this package

    while True:
        with _lost_named(ranks):
            order = ranks.same(lambda: "")
        if order == _END:
            return
        if order != _TRAIN:
            continue
        with _lost_named(ranks):
            arrays = unpacked(ranks.arrays(None))
        try:
            train_on(ranks, arrays, settings, is_cancelled=is_cancelled)
        except RankLost:
            raise
        except ModelError as error:
            logger.info("training ended rank=%d error=%s", ranks.rank, error)


def _tell(ranks: RankGroup, order: str) -> None:
    with _lost_named(ranks):
        ranks.same(lambda: order)


@contextmanager
def _lost_named(ranks: RankGroup) -> Iterator[None]:
    """Raise what goes wrong between ranks as `RankLost`."""
    try:
        yield
    except RuntimeError as error:
        raise RankLost(
            f"rank {ranks.rank} of {ranks.size} lost another one ({error}); start all ranks "
            "again: a training resumes from its last saved state"
        ) from error
