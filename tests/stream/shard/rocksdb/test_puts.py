"""Entries that are put together: which order they are written in."""

from hypothesis import given
from hypothesis import strategies as st

from stream.shard.rocksdb import Puts

keys = st.binary(min_size=1, max_size=3)


@given(st.lists(st.tuples(keys, st.binary(max_size=2)), max_size=12))
def test_puts_are_written_a_kind_at_a_time(records: list[tuple[bytes, bytes]]) -> None:
    """Kinds ascend; within a kind records keep their order, so that the last of a key
    wins.
    """
    puts = Puts()
    for key, value in records:
        puts.put(key, value)
    written = [pair for keys, values in puts.sections() for pair in zip(keys, values, strict=True)]

    assert written == sorted(records, key=lambda record: record[0][:1])


@given(st.lists(st.tuples(keys, st.binary(max_size=2)), max_size=6))
def test_puts_of_many_are_those_of_each(records: list[tuple[bytes, bytes]]) -> None:
    """Adding records of a kind at once is adding them one by one.

    Nothing at once is nothing.
    """
    puts, others = Puts(), Puts()
    for kind in sorted({key[:1] for key, _ in records}):
        own = [record for record in records if record[0].startswith(kind)]
        puts.extend([key for key, _ in own], [value for _, value in own])
        puts.extend([], [])
        for key, value in own:
            others.put(key, value)

    assert list(puts.sections()) == list(others.sections())


@given(st.dictionaries(keys, st.binary(max_size=2), max_size=8))
def test_puts_of_a_mapping_ascend(records: dict[bytes, bytes]) -> None:
    """Entries at hand by key are written in ascending order of key."""
    written = [key for keys, _ in Puts.of(records).sections() for key in keys]

    assert written == sorted(records)
