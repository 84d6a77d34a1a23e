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


class Interner:
    """Keys by text as it came.

    Args:
        texts: the canonical texts by key, filled on the way.
        canonical: returns the canonical forms of texts, None for one that cannot be
            used.
        empty: what a text interns to whose canonical form is empty.
    """

    def __init__(
        self,
        texts: dict[int, str],
        canonical: Callable[[list[str]], Sequence[str | None]],
        *,
        empty: int = UNUSABLE,
    ) -> None:
        self._texts = texts
        self._canonical = canonical
        self._empty = empty
        self._keys = {"": empty}

    def keys(self, texts: Sequence[str]) -> Keys:
        """Return the key of each text: ``uint64 [num_texts]``."""
        keys = self._keys
        new = [text for text in dict.fromkeys(texts) if text not in keys]
        unusable = self._learn(new) if new else []
        found = np.fromiter(map(keys.__getitem__, texts), dtype=np.uint64, count=len(texts))
        for text in unusable:  # not kept: what cannot be used may be long, and never the same twice
            del keys[text]
        return found

    def forget_if_large(self, max_texts: int) -> None:
        """Forget all texts once there are many.

        Not while keys of them wait to be applied.
        """
        if len(self._keys) > max_texts:
            self._texts.clear()
            self._keys = {"": self._empty}

    def _learn(self, new: list[str]) -> list[str]:
        """Add texts; return those that cannot be used."""
        canonical = self._canonical(new)
        keys = [text_key(text) if text else self._unhashed(text) for text in canonical]
        known = self._texts.setdefault
        bad: list[str] = []
        for place, (key, text) in enumerate(zip(keys, canonical, strict=True)):
            if key == UNUSABLE or (text and (key == NO_KEY or known(key, text) != text)):
                keys[place] = UNUSABLE
                bad.append(new[place])
        self._keys.update(zip(new, keys, strict=True))
        return bad

    def _unhashed(self, text: str | None) -> int:
        return UNUSABLE if text is None else self._empty
