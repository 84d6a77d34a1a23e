"""The records of one write: joined from parts, empty or not."""

import pytest

from stream.shard.changed_entries import DirtyKeys, ShardWrite


def test_parts_are_joined_in_order() -> None:
    """Of a key that two parts put, the later part's value is written last; deletes keep
    their order.
    """
    dirty = DirtyKeys(7)
    joined = ShardWrite.joined(
        [
            ShardWrite.of({b"\x02a": b"1", b"\x01a": b"2"}, [b"x"]),
            ShardWrite.of({b"\x02a": b"3"}, [b"y"]),
        ],
        dirty,
    )

    assert list(joined.puts.sections()) == [
        ([b"\x01a"], [b"2"]),
        ([b"\x02a", b"\x02a"], [b"1", b"3"]),
    ]
    assert joined.deletes == [b"x", b"y"]
    assert joined.dirty is dirty


@pytest.mark.parametrize(
    ("records", "is_any"),
    [
        (ShardWrite.of({}), False),
        (ShardWrite.joined([]), False),
        (ShardWrite.of({b"k": b"v"}), True),
        (ShardWrite.of({}, [b"k"]), True),
    ],
    ids=["nothing", "no part", "a put", "a delete"],
)
def test_records_are_true_where_they_change_anything(records: ShardWrite, is_any: bool) -> None:
    """A write of nothing can be told beforehand."""
    assert bool(records) is is_any
