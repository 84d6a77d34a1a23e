"""Every reader takes bytes that nobody wrote or refuses them by its own error; a
million of them are `python -m bench fuzz`.
"""

import json
import logging
import random
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testing.fuzzing.mutations import KINDS, Change, changed, random_changes
from testing.fuzzing.target import Prepared, Target
from testing.fuzzing.targets import TARGETS

# Inputs of a target whose reader opens a store or a generation each time, and others.
_FEW, _MANY = 5, 60
_SLOW = 50  # a share of at most so many says that a reader is slow

some_changes = st.lists(
    st.builds(
        Change,
        kind=st.integers(0, len(KINDS) - 1),
        where=st.floats(0.0, 1.0, exclude_max=True),
        amount=st.integers(0, 2**32 - 1),
    ),
    min_size=1,
    max_size=4,
)


@pytest.fixture
def quiet() -> Iterator[None]:
    """Let readers say what they like of each input."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("name", list(TARGETS))
def test_an_input_is_taken_or_refused(name: str, tmp_path: Path) -> None:
    """What is valid is taken; of what is changed nothing is raised but refusals."""
    target = TARGETS[name]
    with closing(target.prepare(tmp_path)) as prepared:
        for number, content in enumerate(prepared.seeds):
            assert target.takes(prepared, number, target.seal(number, content))
        reads_anything(target, prepared)


def reads_anything(target: Target, prepared: Prepared) -> None:
    """Give changed inputs to a target."""

    @settings(max_examples=_FEW if target.share <= _SLOW else _MANY, deadline=None)
    @given(st.integers(0, len(prepared.seeds) - 1), some_changes)
    def check(number: int, changes: list[Change]) -> None:
        target.takes(prepared, *target.of(prepared.seeds, number, changes))

    check()


def deep(before: bytes, after: bytes = b"") -> bytes:
    """Return brackets in brackets, deeper than any parser goes down."""
    return before + b"[" * 200_000 + after


def edited(content: bytes, **fields: object) -> bytes:
    """Return a JSON object with other fields."""
    return json.dumps(json.loads(content) | fields).encode()


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(
    ("name", "number", "change"),
    [
        ("pointers", 0, lambda seed: seed.replace(b'"sequence": 7', b'"sequence": 1e999')),
        ("pointers", 0, lambda _: deep(b'{"generation": ')),
        ("backups", 0, lambda _: deep(b'{"format_version": ')),
        ("backups", 0, lambda _: deep(b'{"unknown": ')),
        ("erasures of backups", 0, lambda _: b'{"kind": "\xe6"}'),
        ("erasures of backups", 0, lambda _: deep(b'{"kind": ')),
        ("manifests", 1, lambda seed: edited(seed, num_shards=2**31)),
        ("manifests", 1, lambda seed: edited(seed, num_shards=0)),
        ("manifests", 1, lambda seed: seed.replace(b"store_id", b"store\xff")),
        ("manifests", 1, lambda _: deep(b'{"store_id": ')),
        ("manifests", 0, lambda seed: seed.replace(b'"shard-0000"', b'"' + b"x" * 300 + b'"')),
        ("manifests", 0, lambda seed: seed.replace(b'"shard-0000"', b'"../snapshot/shard-0000"')),
        ("feed files", -1, lambda _: deep(b'{"shard": ')),
        ("generation manifests", 0, lambda seed: seed.replace(b"item_ids.utf8", b"x" * 300)),
        ("generation manifests", 0, lambda seed: seed.replace(b"item_ids.utf8", b"a\\u0000b")),
        ("deleted items", 0, lambda seed: seed.replace(b"<i8", b"<-8")),
        ("generation files", -1, lambda seed: seed.replace(b"'descr': '", b"'descr': '\"[[(")),
    ],
)
def test_what_was_found_is_refused(
    name: str, number: int, change: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    """Each ended a process, or took all its memory, instead of saying what is wrong."""
    target = TARGETS[name]
    with closing(target.prepare(tmp_path)) as prepared:
        if number < 0:
            marks = (b"'descr': '", b'"offset":')
            found = (any(mark in seed for mark in marks) for seed in prepared.seeds)
            number = next(n for n, is_meant in enumerate(found) if is_meant)
        content = change(prepared.seeds[number])
        assert content != prepared.seeds[number]
        assert not target.takes(prepared, number, target.seal(number, content))


@pytest.mark.parametrize("byte", [0x00, 0x8B, 0xFF])
def test_any_byte_of_an_entry_may_be_another(byte: int, tmp_path: Path) -> None:
    """A kind that is none is refused like a length that is none."""
    target = TARGETS["entries"]
    with closing(target.prepare(tmp_path)) as prepared:
        for number, seed in enumerate(prepared.seeds):
            for at in range(min(len(seed), 48)):
                target.takes(prepared, number, seed[:at] + bytes([byte]) + seed[at + 1 :])


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("offset", [-1, 0, 2**62, 2**63 - 1])
def test_a_status_may_say_any_end(offset: int, tmp_path: Path) -> None:
    """No more of a log is read than there is."""
    target = TARGETS["feed files"]
    with closing(target.prepare(tmp_path)) as prepared:
        number = next(n for n, seed in enumerate(prepared.seeds) if b'"offset":' in seed)
        target.takes(prepared, number, edited(prepared.seeds[number], offset=offset))


@pytest.mark.usefixtures("quiet")
def test_a_quarantined_line_without_base64_is_passed_over(tmp_path: Path) -> None:
    """As any line that nobody wrote: it is found where it is read."""
    with closing(TARGETS["quarantine"].prepare(tmp_path)) as prepared:
        prepared.read(0, edited(prepared.seeds[0], value_base64="a") + b"\n")
        prepared.read(0, deep(b'{"reason": ', b"\n"))


def test_changes_follow_from_their_seed() -> None:
    """A case can be repeated, every kind of change changes something, and a JSON text
    stays one where its values are changed.
    """
    content = json.dumps({"a": [1, {"b": "x" * 40}], "c": None}).encode()
    source = random.Random(1)
    for kind in range(len(KINDS)):
        changes = [Change(kind, source.random(), source.getrandbits(32)) for _ in range(20)]
        assert any(changed(content, [change]) != content for change in changes)
        assert all(changed(b"", [change]) is not None for change in changes)
    for _ in range(50):
        change = random_changes(source)[0]._replace(kind=len(KINDS) - 1)
        json.loads(changed(content, [change]))
    assert TARGETS["records"].input_of([content], 7, 3) == TARGETS["records"].input_of(
        [content], 7, 3
    )
