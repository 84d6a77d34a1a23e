"""Texts to 64-bit keys, each computed once.

Checked, brought to canonical form, hashed.
"""

from collections.abc import Callable, Sequence

import numpy as np

from protos.text import text_key
from stream.events.columns import NO_KEY, Keys

UNUSABLE = (1 << 64) - 1
"""What a text interns to that cannot be used.

Too long, empty, or with the key of another text.
"""

Canonical = Callable[[str], str | None]
"""Returns the canonical form of a text, None for one that cannot be used."""


class Interner:
    """Keys by text as it came.

    Args:
        texts: the canonical texts by key, filled on the way.
        canonical: the canonical form of a text that is not known yet.
        empty: what a text interns to whose canonical form is empty.
    """

    def __init__(
        self, texts: dict[int, str], canonical: Canonical, *, empty: int = UNUSABLE
    ) -> None:
        self._texts = texts
        self._keys = _LearntKeys(texts, canonical, empty)

    def keys(self, texts: Sequence[str]) -> Keys:
        """Return the key of each text: ``uint64 [num_texts]``."""
        found = map(self._keys.__getitem__, texts)
        return np.fromiter(found, dtype=np.uint64, count=len(texts))

    def forget_if_large(self, max_texts: int) -> bool:
        """Forget all texts once there are many; return whether they were forgotten.

        Not while keys of them wait to be applied.
        """
        is_large = len(self._keys) > max_texts
        if is_large:
            self._texts.clear()
            self._keys.clear()
        return is_large


class _LearntKeys(dict[str, int]):
    """Keys by text, which learns a text that it is asked for: one look-up for each that
    it has met before.
    """

    def __init__(self, texts: dict[int, str], canonical: Canonical, empty: int) -> None:
        super().__init__()
        self._texts = texts
        self._canonical = canonical
        self._empty = empty

    def __missing__(self, text: str) -> int:
        canonical = self._canonical(text) if text else ""
        if canonical:
            key = text_key(canonical)
            if key in _RESERVED or self._texts.setdefault(key, canonical) != canonical:
                key = UNUSABLE
        else:
            key = UNUSABLE if canonical is None else self._empty
        if key != UNUSABLE:  # what cannot be used may be long, and never the same twice
            self[text] = key
        return key


_RESERVED = frozenset({NO_KEY, UNUSABLE})
