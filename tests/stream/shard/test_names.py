"""Names kept in memory say the same as the shard would."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.events import native
from stream.shard.names import NameCache, text_hashes

Names = dict[int, int]

_KEYS = st.integers(0, 30) | st.just(2**64 - 1)
_STEPS = st.lists(
    st.tuples(st.sampled_from(["write", "slice", "forget"]), st.sets(_KEYS, max_size=12)),
    max_size=10,
)


@pytest.fixture(params=[True, False], ids=["natively", "in Python"], autouse=True, scope="module")
def _natively(request: pytest.FixtureRequest) -> Iterator[None]:
    """Look keys up with `freshet_native`, and without."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "IS_HERE", request.param)
        yield


def _find(known: NameCache, keys: list[int]) -> tuple[list[bool], list[bool]]:
    is_stored, is_unsure = known.find(np.array(keys, dtype=np.uint64), _hashes(keys))
    return is_stored.tolist(), is_unsure.tolist()


def _hashes(keys: list[int]) -> np.ndarray:
    return np.array([key % 1000 for key in keys], dtype=np.uint32)


@given(st.sets(_KEYS), _STEPS)
def test_known_names_never_contradict_the_store(
    stored: set[int], steps: list[tuple[str, set[int]]]
) -> None:
    """Whatever is written, read in slices, forgotten: known is stored.

    Once complete, unknown is not.
    """
    known, stored = NameCache(), set(stored)
    for step, some in steps:
        keys = sorted(some)
        if step == "write":
            known.add(np.array(keys, dtype=np.uint64), _hashes(keys))
            stored |= some
        elif step == "forget":
            known.remove(np.array(keys, dtype=np.uint64))
            stored -= some
        elif known.next_key is not None:
            waiting = sorted(key for key in stored if key >= known.next_key)
            part = waiting[:3]
            next_key = part[-1] + 1 if len(waiting) > len(part) else None
            known.add_slice(np.array(part, dtype=np.uint64), _hashes(part), next_key)
        asked = sorted({*range(31), 2**64 - 1})
        for key, is_stored, is_unsure in zip(asked, *_find(known, asked), strict=True):
            assert is_unsure or is_stored == (key in stored)
            assert not (is_unsure and known.is_complete)
        recalled = known.recall(np.array(asked, dtype=np.uint64), "one generation").tolist()
        assert {key for key, is_known in zip(asked, recalled, strict=True) if is_known} <= stored


def test_the_first_slice_of_an_empty_shard_completes() -> None:
    """Nothing is read any more for a brand-new shard."""
    known = NameCache()
    assert _find(known, [1, 2]) == ([False, False], [True, True])
    known.add_slice(np.empty(0, dtype=np.uint64), text_hashes([]), None)
    assert _find(known, [1, 2]) == ([False, False], [False, False])


def test_another_text_with_a_known_key_must_be_read() -> None:
    """A key alone proves nothing: the hash of the text has to agree."""
    known = NameCache()
    one = np.array([7], dtype=np.uint64)
    known.add(one, text_hashes(["red shoes"]))
    assert known.find(one, text_hashes(["red shoes"]))[0].all()
    is_stored, is_unsure = known.find(one, text_hashes(["blue shoes"]))
    assert not is_stored.any()
    assert is_unsure.all()


def test_a_compared_name_is_recalled_until_texts_are_forgotten() -> None:
    """The key alone tells of names that were written or compared.

    Not of what was only loaded, and not once its text may be another.
    """
    known, asked = NameCache(), np.arange(1, 6, dtype=np.uint64)
    known.add_slice(asked[:2], _hashes([1, 2]), 3)
    assert known.recall(asked, "first").tolist() == [False] * 5
    known.add(asked[1:4], _hashes([2, 3, 4]))
    known.remove(asked[3:])
    assert known.recall(asked, "first").tolist() == [False, True, True, False, False]
    assert known.recall(asked, "second").tolist() == [False] * 5


def test_names_are_dropped_when_they_grow_too_many() -> None:
    """Memory is bounded: over the bound all but the newest are dropped, and what is
    stored is read.
    """
    known = NameCache(max_names=10)
    known.add_slice(np.arange(6, dtype=np.uint64), np.zeros(6, dtype=np.uint32), None)
    assert known.is_complete
    known.add(np.arange(6, 12, dtype=np.uint64), np.zeros(6, dtype=np.uint32))
    assert not known.is_complete
    assert known.next_key is None
    is_stored, is_unsure = known.find(np.arange(12, dtype=np.uint64), np.zeros(12, dtype=np.uint32))
    assert is_stored.tolist() == [False] * 6 + [True] * 6
    assert is_unsure.tolist() == [True] * 6 + [False] * 6
