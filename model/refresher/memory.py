"""Has the process keep the memory that one step of a round gives back, for the next."""

import ctypes
from typing import Final

# Parameters of `mallopt` by <malloc.h>: what is free at the end of the heap goes back
# to the system from so many bytes on, and blocks from so many on are mapped alone.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
# Bytes: more than any column that a round makes, some tens of megabytes. With glibc's
# own, which begin at 128 KiB, every tenth second of a round is the system's, making
# pages that the step before had given back. Twice as many: the same.
_KEPT: Final = 1 << 29


def keep_memory() -> bool:
    """Have the C library keep what is freed; return whether it takes such advice, as
    glibc does.

    The process is as large as its largest round for as long as it runs.
    """
    advise = getattr(ctypes.CDLL(None), "mallopt", None)
    if advise is None:
        return False
    return all(advise(each, _KEPT) == 1 for each in (_TRIM_THRESHOLD, _MMAP_THRESHOLD))
