"""Hits as bytes, against the messages that they stand for."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos import retrieval_v1_pb2 as retrieval_pb
from server.answers.hits import HitCache, Texts, hit_without_score, with_scores

HITS = st.lists(
    st.tuples(
        st.text(max_size=300),
        st.text(max_size=300),
        st.floats(min_value=-1, max_value=1, width=32),
    ),
    max_size=20,
)


@given(HITS)
def test_bytes_are_read_as_the_hits_that_they_stand_for(
    hits: list[tuple[str, str, float]],
) -> None:
    """Whatever the ids, the titles and the scores, none of them and long ones."""
    made = with_scores(
        [hit_without_score(item_id.encode(), title.encode()) for item_id, title, _ in hits],
        np.array([score for _, _, score in hits], dtype=np.float32),
    )

    assert retrieval_pb.RetrieveResponse.FromString(made) == retrieval_pb.RetrieveResponse(
        hits=[
            retrieval_pb.Hit(item_id=item_id, title=title, score=score)
            for item_id, title, score in hits
        ]
    )


class Table:
    """Texts of numbers, and what was asked of them."""

    def __init__(self, keys: Sequence[int]) -> None:
        self.keys = keys
        self.asked: list[int] = []

    def __call__(self, places: Sequence[int]) -> list[Texts]:
        """Return id and title of the keys at some places."""
        self.asked = [self.keys[place] for place in places]
        return [texts_of(key) for key in self.asked]


def texts_of(key: int) -> Texts:
    """Return id and title of a number."""
    return b"%d" % key, b"title of %d" % key


def ask(cache: HitCache, keys: Sequence[int]) -> list[int]:
    """Ask for some hits, see that they are right, and return whose texts were read."""
    table = Table(keys)
    assert cache.of(keys, table) == [hit_without_score(*texts_of(key)) for key in keys]
    return table.asked


def test_a_hit_is_made_once() -> None:
    """What was shown is there; only the rest is read."""
    cache = HitCache(1 << 20)

    assert ask(cache, [1, 2, 3]) == [1, 2, 3]
    assert ask(cache, [3, 4, 1]) == [4]
    assert ask(cache, [4, 3]) == []


@pytest.mark.parametrize("most_bytes", [0, 1, 500, 5000])
def test_hits_take_no_more_memory_than_they_may(most_bytes: int) -> None:
    """Those that were made first go; answers are right all the same."""
    cache = HitCache(most_bytes)
    for start in range(100):
        ask(cache, range(start, start + 30))
        assert cache.num_bytes <= most_bytes


def test_threads_share_one() -> None:
    """While hits come and go under them."""
    cache = HitCache(20_000)

    with ThreadPoolExecutor(4) as pool:
        starts = [start % 97 for start in range(400)]
        done = list(pool.map(lambda start: ask(cache, range(start, start + 50)), starts))

    assert len(done) == 400
    assert 0 < cache.num_bytes <= 20_000
