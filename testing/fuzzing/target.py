"""What is fuzzed: something that reads bytes, and what it may say of those that nobody
wrote.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from testing.fuzzing.mutations import Change, changed, random_changes

Read = Callable[[int, bytes], None]
"""Reads an input; its number says which seed it was made of."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A target that can be given inputs.

    Attributes:
        seeds: what is valid.
        read: what is tried.
        close: releases what it holds.
    """

    seeds: Sequence[bytes]
    read: Read
    close: Callable[[], None] = lambda: None


@dataclass(frozen=True, kw_only=True)
class Target:
    """Something that reads bytes.

    Attributes:
        name: for tables and options.
        prepare: makes it ready, in an empty folder.
        refusals: errors by which it says that it does not take an input.
        share: of all inputs, in parts: what is read faster has more.
        seal: makes bytes pass the checksum that stands before what is tried.
    """

    name: str
    prepare: Callable[[Path], Prepared]
    refusals: tuple[type[Exception], ...] = ()
    share: int = 1
    seal: Callable[[int, bytes], bytes] = field(default=lambda _number, content: content)

    def input_of(self, seeds: Sequence[bytes], case: int, seed: int) -> tuple[int, bytes]:
        """Return the input of a case: of which seed it is, and its bytes."""
        source = random.Random(f"{self.name} {seed} {case}")  # to be repeated
        number = source.randrange(len(seeds))
        return self.of(seeds, number, random_changes(source))

    def of(
        self, seeds: Sequence[bytes], number: int, changes: Sequence[Change]
    ) -> tuple[int, bytes]:
        """Return the input that changes make of a seed."""
        return number, self.seal(number, changed(seeds[number], changes))

    def takes(self, prepared: Prepared, number: int, content: bytes) -> bool:
        """Read an input; return whether it was taken.

        Raises:
            Exception: any but a refusal: a fault.
        """
        try:
            prepared.read(number, content)
        except self.refusals:
            return False
        return True
