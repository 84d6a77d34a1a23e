"""Texts to 64-bit keys, each worked out once: checked, brought to canonical form, hashed."""

from collections.abc import Callable

from protos.text import text_key
from stream.columns import NO_KEY

UNUSABLE = (1 << 64) - 1
"""What a text interns to that cannot be used as it is: too long, empty, or with the key of another text."""


class Interner(dict[str, int]):
    """Keys by text as it came; looking a text up works its key out.

    Args:
        texts: the canonical texts by key, filled on the way.
        canonical: returns a text's canonical form, or None where it cannot be used.
        empty: what a text interns to whose canonical form is empty.
    """

    def __init__(
        self, texts: dict[int, str], canonical: Callable[[str], str | None], *, empty: int = UNUSABLE
    ) -> None:
        super().__init__({"": empty})
        self._texts = texts
        self._canonical = canonical
        self._empty = empty

    def __missing__(self, text: str) -> int:
        canonical = self._canonical(text)
        key = UNUSABLE if canonical is None else self._key(canonical)
        if key != UNUSABLE:  # not kept: what cannot be used may be long, and never the same twice
            self[text] = key
        return key

    def forget_if_large(self, max_texts: int) -> None:
        """Forget all texts once there are many. Not while keys of them wait to be applied."""
        if len(self) > max_texts:
            self.clear()
            self._texts.clear()
            self[""] = self._empty

    def _key(self, canonical: str) -> int:
        if not canonical:
            return self._empty
        key = text_key(canonical)
        is_taken = key in {NO_KEY, UNUSABLE} or self._texts.setdefault(key, canonical) != canonical
        return UNUSABLE if is_taken else key
