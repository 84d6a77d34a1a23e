"""Mixes 64-bit words well."""

import numpy as np
from numpy.typing import NDArray

# The constants of SplitMix64's finaliser. Stored digests and directions of words depend
# on them.
_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def mixed_words(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return well-mixed 64-bit words, ``uint64`` of the same shape (Steele, Lea and
    Flood, OOPSLA 2014: the finaliser of SplitMix64).
    """
    mixed = values + _STEP
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _FIRST
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
    return mixed ^ (mixed >> np.uint64(31))
