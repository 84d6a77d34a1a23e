"""Texts to 64-bit keys, each computed once.

Checked, brought to canonical form, hashed.
"""

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from itertools import compress, repeat
from typing import Protocol, cast

import numpy as np

from protos.text import text_keys
from stream.events.columns import NO_KEY, Keys
from stream.events.native import LearntTexts

UNUSABLE = (1 << 64) - 1
"""What a text interns to that cannot be used.

Too long, empty, or with the key of another text.
"""

Canonical = Callable[[list[str]], Sequence[str | None]]
"""Returns the canonical form of each text, None for one that cannot be used."""


class _Known(Protocol):
    """Texts with their keys."""

    def find(self, texts: Sequence[str], keys: Keys) -> list[int]:
        """Write the keys of texts, and return the rows of those that are not known."""

    def add(self, known: dict[str, int]) -> None:
        """Know the keys of texts from now on."""

    def clear(self) -> None:
        """Know none."""

    def __len__(self) -> int:
        """How many are known."""


class Interner:
    """Keys by text as it came.

    Args:
        texts: the canonical texts by key, filled on the way; where they are those of
            `freshet_native`, its table knows the keys of texts.
        canonical: the canonical forms of texts that are not known yet.
        empty: what a text interns to whose canonical form is empty.
    """

    def __init__(
        self,
        texts: MutableMapping[int, str],
        canonical: Canonical,
        *,
        empty: int = UNUSABLE,
    ) -> None:
        self._texts = texts
        self._canonical = canonical
        self._empty = empty
        self._known: _Known = texts.table if isinstance(texts, LearntTexts) else _Dict()

    def keys(self, texts: Sequence[str]) -> Keys:
        """Return the key of each text: ``uint64 [num_texts]``."""
        keys = np.empty(len(texts), dtype=np.uint64)
        rows = self._known.find(texts, keys)
        if rows:
            unknown = [texts[row] for row in rows]
            learnt = self._learn(list(dict.fromkeys(unknown)))
            self._known.add(learnt)
            keys[rows] = _looked_up(learnt, unknown)
        return keys

    def _learn(self, texts: list[str]) -> dict[str, int]:
        """Return the keys of distinct texts, but of what cannot be used: that may be
        long, and never the same twice.
        """
        forms = self._canonical(texts)
        learnt: dict[str, int] = {}
        if not all(forms):
            if self._empty != UNUSABLE:
                pairs = zip(texts, forms, strict=True)
                learnt = {text: self._empty for text, form in pairs if form == ""}
            texts, forms = list(compress(texts, forms)), list(compress(forms, forms))
        usable = cast("Sequence[str]", forms)
        keys = text_keys(usable)
        is_own = [
            key not in _RESERVED and self._texts.setdefault(key, form) == form
            for key, form in zip(keys, usable, strict=True)
        ]
        learnt.update(compress(zip(texts, keys, strict=True), is_own))
        return learnt

    def forget_if_large(self, max_texts: int) -> bool:
        """Forget all texts once there are many; return whether they were forgotten.

        Not while keys of them wait to be applied.
        """
        is_large = len(self._known) > max_texts
        if is_large:
            self._texts.clear()
            self._known.clear()
        return is_large


class _Dict:
    """Texts with their keys, without `freshet_native`."""

    def __init__(self) -> None:
        self._keys: dict[str, int] = {}

    def find(self, texts: Sequence[str], keys: Keys) -> list[int]:
        keys[:] = _looked_up(self._keys, texts)
        return np.flatnonzero(keys == np.uint64(UNUSABLE)).tolist()

    def add(self, known: dict[str, int]) -> None:
        self._keys.update(known)

    def clear(self) -> None:
        self._keys.clear()

    def __len__(self) -> int:
        return len(self._keys)


def _looked_up(known: Mapping[str, int], texts: Sequence[str]) -> Keys:
    """Return the key of each text; `UNUSABLE`: it is not among them."""
    found = map(known.get, texts, repeat(UNUSABLE))
    return np.fromiter(found, dtype=np.uint64, count=len(texts))


_RESERVED = frozenset({NO_KEY, UNUSABLE})
