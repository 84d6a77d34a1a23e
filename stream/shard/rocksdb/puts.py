"""What one write puts into a database."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Self


class Puts:
    """Entries to be written together.

    Those of a kind in ascending order of key are written fastest.
    """

    def __init__(self) -> None:
        self._sections: dict[bytes, tuple[list[bytes], list[bytes]]] = {}

    @classmethod
    def of(cls, records: Mapping[bytes, bytes]) -> Self:
        """Return records that are at hand by key."""
        puts = cls()
        for key in sorted(records):
            puts.put(key, records[key])
        return puts

    @classmethod
    def joined(cls, parts: Iterable[Self]) -> Self:
        """Return the records of all parts; of one key the last part's counts."""
        puts = cls()
        for part in parts:
            for keys, values in part.sections():
                puts.extend(keys, values)
        return puts

    def put(self, key: bytes, value: bytes) -> None:
        """Add one record."""
        keys, values = self._section(key)
        keys.append(key)
        values.append(value)

    def extend(self, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Add many records of one kind."""
        if keys:
            kept_keys, kept_values = self._section(keys[0])
            kept_keys += keys
            kept_values += values

    def newest(self, key: bytes) -> bytes | None:
        """Return the value that a key is given last; None: it is given none.

        Looks at all entries of its kind.
        """
        keys, values = self._sections.get(key[:1], ((), ()))
        found = [value for each, value in zip(keys, values, strict=True) if each == key]
        return found[-1] if found else None

    def sections(self) -> Iterator[tuple[list[bytes], list[bytes]]]:
        """Yield keys and values, a kind at a time, in ascending order of kind."""
        return (section for _, section in sorted(self._sections.items()))

    def _section(self, key: bytes) -> tuple[list[bytes], list[bytes]]:
        return self._sections.setdefault(key[:1], ([], []))
