"""Ids that an index must not answer with."""

from typing import Final

import numpy as np

from stream.dtypes import Bools, Int64s


class Hidden:
    """Some ids of an index.

    Immutable, so any number of threads may share one.

    Args:
        ids: ``int64``, ascending.
        count: how many ids the index has.

    Attributes:
        ids: the same.
        is_hidden: ``bool [count]``, which of all ids they are.
    """

    def __init__(self, ids: Int64s, count: int) -> None:
        self.ids = ids
        # The system gives zeros as they are looked at: cost follows what is hidden.
        self.is_hidden: Bools = np.zeros(count if len(ids) else 0, dtype=np.bool_)
        self.is_hidden[ids] = True

    def __len__(self) -> int:
        return len(self.ids)


NOTHING_HIDDEN: Final = Hidden(np.zeros(0, dtype=np.int64), 0)
