"""Pure: cuts events without a session into sessions by their visitor's inactivity, in
any order of arrival.

A visitor's events belong together as long as neighbours in time are at most the gap
apart. All that has to be kept of a session to go on cutting is its hull, its first and
last event time: any moment inside is within the gap of an event on either side. So an
event belongs to the hulls that it is within the gap of, and joins them if there are
several; whatever the order, the same hulls come out. Times of repeated events count
too.

A session is named after its visitor and its first event. When an earlier event comes,
or one that bridges sessions, they are renamed: their facts are then those of a session
of another name.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from protos.text import text_key
from stream.dtypes import Bools, Int64s
from stream.events.columns import NO_KEY, Keys
from stream.events.limits import CUT_PREFIX
from stream.graph.facts import FactColumns


def cut_session_id(user_id: str, start_ms: int) -> str:
    """Return the id of the session that a visitor began at a time."""
    return f"{CUT_PREFIX}{user_id}@{start_ms}"


@dataclass(frozen=True, slots=True)
class Hulls:
    """First and last event times of visitors' sessions.

    Attributes:
        user: ``uint64 [num_hulls]``.
        start_ms: ``int64 [num_hulls]`` time of the first event.
        end_ms: ``int64 [num_hulls]`` time of the last event.
    """

    user: Keys
    start_ms: Int64s
    end_ms: Int64s

    def __len__(self) -> int:
        return len(self.user)

    @classmethod
    def none(cls) -> Self:
        """Return columns of length 0."""
        times = np.empty(0, dtype=np.int64)
        return cls(np.empty(0, dtype=np.uint64), times, times)

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Return the hulls of all parts, one after the other."""
        return cls(
            np.concatenate([part.user for part in parts]),
            np.concatenate([part.start_ms for part in parts]),
            np.concatenate([part.end_ms for part in parts]),
        )

    def take(self, index: Int64s | Bools) -> Self:
        """Return the hulls at these indexes, or where a mask is true."""
        return type(self)(self.user[index], self.start_ms[index], self.end_ms[index])

    def joined(self, gap_ms: int) -> Self:
        """Return hulls in order of (user, start), those of a user that are at most the
        gap apart as one.
        """
        is_end = np.repeat([False, True], len(self))
        user = np.tile(self.user, 2)
        ts_ms = np.concatenate([self.start_ms, self.end_ms + gap_ms])
        order = np.lexsort((is_end, ts_ms, user))
        num_open = np.cumsum(np.where(is_end[order], -1, 1))
        opens = order[(num_open == 1) & ~is_end[order]]
        closes = order[num_open == 0]
        return type(self)(user[opens], ts_ms[opens], ts_ms[closes] - gap_ms)

    def place_of(self, user: Keys, ts_ms: Int64s) -> Int64s:
        """Return which hull each moment of a visitor is inside of, ``int64
        [num_moments]``; -1: of none.

        The hulls must be in order of (user, start), and apart.
        """
        is_moment = np.repeat([False, True], [len(self), len(user)])
        order = np.lexsort(
            (is_moment, np.concatenate([self.start_ms, ts_ms]), np.concatenate([self.user, user]))
        )
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.cumsum(~is_moment[order]) - 1
        begun = place[len(self) :]
        rows = np.flatnonzero(begun >= 0)
        last = begun[rows]
        is_inside = (self.user[last] == user[rows]) & (ts_ms[rows] <= self.end_ms[last])
        found = np.full(len(user), -1, dtype=np.int64)
        found[rows[is_inside]] = last[is_inside]
        return found


class Renames(NamedTuple):
    """Sessions that have another name than before.

    Attributes:
        user: ``uint64 [num_renames]`` whose they are.
        old: ``uint64 [num_renames]`` session key so far, each once. It never stands for
            a session again.
        new: ``uint64 [num_renames]`` session key from now on; of sessions that were
            bridged the same.
    """

    user: Keys
    old: Keys
    new: Keys


class Cut(NamedTuple):
    """What cutting events makes of them, and of the sessions that were known.

    Attributes:
        session: ``uint64 [num_events]`` session key; `NO_KEY`: the event is inside no
            session and makes none.
        session_ids: the texts of all session keys in here.
        hulls: of all visitors in the events, by (user, start).
        renames: the known sessions that have another name now.
    """

    session: Keys
    session_ids: dict[int, str]
    hulls: Hulls
    renames: Renames

    @classmethod
    def none(cls) -> Self:
        """Return what cutting no event makes."""
        keys = np.empty(0, dtype=np.uint64)
        return cls(keys, {}, Hulls.none(), Renames(keys, keys, keys))

    def without(self, users: Keys) -> Self:
        """Return what is left when nothing of these visitors changes."""
        is_renamed = ~np.isin(self.renames.user, users)
        return self._replace(
            hulls=self.hulls.take(~np.isin(self.hulls.user, users)),
            renames=Renames(*(column[is_renamed] for column in self.renames)),
        )


class RenamedFacts(NamedTuple):
    """Stored facts, told apart by whether their session has another name now.

    Attributes:
        kept: facts of sessions that have the name that they had.
        gone: facts of sessions that have not, as they were stored.
        arrived: the same under the new names; one may be among `kept`, or several times
            here, at other times.
    """

    kept: FactColumns
    gone: FactColumns
    arrived: FactColumns


def cut_sessions(
    known: Hulls,
    user: Keys,
    ts_ms: Int64s,
    is_joining: Bools,
    user_ids: Mapping[int, str],
    gap_ms: int,
) -> Cut:
    """Cut events of visitors into sessions.

    Args:
        known: hulls of all events of these visitors so far, apart.
        user: ``uint64 [num_events]``.
        ts_ms: ``int64 [num_events]``.
        is_joining: ``bool [num_events]`` whether an event counts; one that does not
            finds its session, but begins, extends and bridges none.
        user_ids: the texts of the users' keys.
        gap_ms: neighbours in a session are at most so far apart.
    """
    moments = Hulls(user, ts_ms, ts_ms).take(is_joining)
    hulls = Hulls.concatenate([known, moments]).joined(gap_ms)
    place, new_place = hulls.place_of(user, ts_ms), hulls.place_of(known.user, known.start_ms)
    is_renamed = hulls.start_ms[new_place] != known.start_ms
    before, after = known.take(is_renamed), new_place[is_renamed]
    named = np.unique(np.concatenate([place[place >= 0], after]))
    texts = list(_session_ids(hulls.take(named), user_ids))
    old_texts = list(_session_ids(before, user_ids))
    keys, old = _keys(texts), _keys(old_texts)
    return Cut(
        session=_looked_up(place, named, keys),
        session_ids=dict(zip([*keys.tolist(), *old.tolist()], [*texts, *old_texts], strict=True)),
        hulls=hulls,
        renames=Renames(before.user, old, _looked_up(after, named, keys)),
    )


def rename_facts(stored: FactColumns, renames: Renames) -> RenamedFacts:
    """Give stored facts of renamed sessions their new session."""
    is_gone = np.isin(stored.session, renames.old)
    gone = stored.take(is_gone)
    order = np.argsort(renames.old)
    new = renames.new[order][np.searchsorted(renames.old[order], gone.session)]
    return RenamedFacts(
        stored.take(~is_gone), gone, FactColumns(new, gone.query, gone.item, gone.stamp)
    )


def _session_ids(hulls: Hulls, user_ids: Mapping[int, str]) -> Iterator[str]:
    for user, start_ms in zip(hulls.user.tolist(), hulls.start_ms.tolist(), strict=True):
        yield cut_session_id(user_ids[user], start_ms)


def _keys(texts: Sequence[str]) -> Keys:
    return np.array([text_key(text) for text in texts], dtype=np.uint64)


def _looked_up(place: Int64s, named: Int64s, keys: Keys) -> Keys:
    """Return the key of each place; `named` has the places of `keys`, ascending."""
    is_inside = place >= 0
    found = np.full(len(place), NO_KEY, dtype=np.uint64)
    found[is_inside] = keys[np.searchsorted(named, place[is_inside])]
    return found
