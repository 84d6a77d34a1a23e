"""Pure: cuts events without a session into session windows by their user's inactivity,
in any order of arrival.

A user's events belong together as long as neighbours in time are at most the gap apart.
Cutting needs only a session's window, its first and last event time: every moment
inside is within the gap of some event on either side. So an event belongs to the
windows that it is within the gap of, and merges them if there are several: every order
of arrival gives the same windows. Times of repeated events count too.

A session is named after its user and its first event. An earlier event, or one that
merges windows, renames sessions: their facts then belong to the session of the new
name.
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
    """Return the id of the session that a user began at a time."""
    return f"{CUT_PREFIX}{user_id}@{start_ms}"


@dataclass(frozen=True, slots=True)
class SessionWindows:
    """Session windows: the first and last event times of users' sessions.

    Attributes:
        user: ``uint64 [num_windows]``.
        start_ms: ``int64 [num_windows]`` time of the first event.
        end_ms: ``int64 [num_windows]`` time of the last event.
    """

    user: Keys
    start_ms: Int64s
    end_ms: Int64s

    def __len__(self) -> int:
        return len(self.user)

    @classmethod
    def empty(cls) -> Self:
        """Return columns of length 0."""
        times = np.empty(0, dtype=np.int64)
        return cls(np.empty(0, dtype=np.uint64), times, times)

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Return the windows of all parts, one after the other."""
        return cls(
            np.concatenate([part.user for part in parts]),
            np.concatenate([part.start_ms for part in parts]),
            np.concatenate([part.end_ms for part in parts]),
        )

    def take(self, index: Int64s | Bools) -> Self:
        """Return the windows at these indexes, or where a mask is true."""
        return type(self)(self.user[index], self.start_ms[index], self.end_ms[index])

    def merged(self, gap_ms: int) -> Self:
        """Return windows in order of (user, start); those of a user that are at most
        the gap apart are merged into one.
        """
        # A sweep in order of (user, time): a window opens at its start and closes a gap
        # after its end, opens before closes at a tie. Where the number of open windows
        # rises to 1 a merged one begins; where it falls to 0 it ends.
        is_end = np.repeat([False, True], len(self))
        user = np.tile(self.user, 2)
        ts_ms = np.concatenate([self.start_ms, self.end_ms + gap_ms])
        order = np.lexsort((is_end, ts_ms, user))
        num_open = np.cumsum(np.where(is_end[order], -1, 1))
        opens = order[(num_open == 1) & ~is_end[order]]
        closes = order[num_open == 0]
        return type(self)(user[opens], ts_ms[opens], ts_ms[closes] - gap_ms)

    def index_of(self, user: Keys, ts_ms: Int64s) -> Int64s:
        """Return which window each moment of a user is inside of, ``int64
        [num_moments]``; -1: of none.

        The windows must be in order of (user, start), and more than the gap apart.
        """
        # Sorted together by (user, time), a window before a moment at a tie: the number
        # of windows up to a moment, less one, is the last window that began before it.
        # The moment is inside if that window is of its user and has not ended.
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
    """Sessions that cutting renames.

    Attributes:
        user: ``uint64 [num_renames]`` the user of each.
        old: ``uint64 [num_renames]`` session key before, each once. No session ever has
            it again.
        new: ``uint64 [num_renames]`` session key after; merged sessions share one.
    """

    user: Keys
    old: Keys
    new: Keys


class SessionCut(NamedTuple):
    """The sessions that cutting gives events, and its changes to stored sessions.

    Attributes:
        session: ``uint64 [num_events]`` session key; `NO_KEY`: the event is inside no
            window and makes none.
        session_ids: the texts of all session keys in this object.
        windows: of all users in the events, by (user, start).
        renames: the stored sessions that are renamed.
    """

    session: Keys
    session_ids: dict[int, str]
    windows: SessionWindows
    renames: Renames

    @classmethod
    def empty(cls) -> Self:
        """Return the cut of no events."""
        keys = np.empty(0, dtype=np.uint64)
        return cls(keys, {}, SessionWindows.empty(), Renames(keys, keys, keys))

    def without_users(self, users: Keys) -> Self:
        """Return the cut without the changes to these users' windows and sessions."""
        is_renamed = ~np.isin(self.renames.user, users)
        return self._replace(
            windows=self.windows.take(~np.isin(self.windows.user, users)),
            renames=Renames(*(column[is_renamed] for column in self.renames)),
        )


class RenamedFacts(NamedTuple):
    """Stored facts, split by whether their session is renamed.

    Attributes:
        kept: facts of sessions that keep their name.
        gone: facts of renamed sessions, as stored.
        arrived: the same facts under the new names. A fact may also be among `kept`, or
            be repeated here, at other times.
    """

    kept: FactColumns
    gone: FactColumns
    arrived: FactColumns


def cut_sessions(
    known: SessionWindows,
    user: Keys,
    ts_ms: Int64s,
    extends_windows: Bools,
    user_ids: Mapping[int, str],
    gap_ms: int,
) -> SessionCut:
    """Cut events of users into sessions.

    Args:
        known: windows of all earlier events of these users, more than the gap apart.
        user: ``uint64 [num_events]``.
        ts_ms: ``int64 [num_events]``.
        extends_windows: ``bool [num_events]`` whether an event may begin, extend and
            merge windows; one that may not only finds its session.
        user_ids: the texts of the users' keys.
        gap_ms: the most milliseconds between neighbours in a session.
    """
    # Every known window lies inside one merged window. It is renamed if that one starts
    # earlier: a session's id holds its start. `named` are the windows that need a key:
    # those with an event, and those that a renamed session is in now.
    moments = SessionWindows(user, ts_ms, ts_ms).take(extends_windows)
    windows = SessionWindows.concatenate([known, moments]).merged(gap_ms)
    place, new_place = windows.index_of(user, ts_ms), windows.index_of(known.user, known.start_ms)
    is_renamed = windows.start_ms[new_place] != known.start_ms
    before, after = known.take(is_renamed), new_place[is_renamed]
    named = np.unique(np.concatenate([place[place >= 0], after]))
    texts = list(_session_ids(windows.take(named), user_ids))
    old_texts = list(_session_ids(before, user_ids))
    keys, old = _keys(texts), _keys(old_texts)
    return SessionCut(
        session=_looked_up(place, named, keys),
        session_ids=dict(zip([*keys.tolist(), *old.tolist()], [*texts, *old_texts], strict=True)),
        windows=windows,
        renames=Renames(before.user, old, _looked_up(after, named, keys)),
    )


def rename_facts(stored: FactColumns, renames: Renames) -> RenamedFacts:
    """Give stored facts of renamed sessions their new session."""
    # Each old key is in `renames` once: a search in its sorted keys finds the new one.
    is_gone = np.isin(stored.session, renames.old)
    gone = stored.take(is_gone)
    order = np.argsort(renames.old)
    new = renames.new[order][np.searchsorted(renames.old[order], gone.session)]
    return RenamedFacts(
        stored.take(~is_gone), gone, FactColumns(new, gone.query, gone.item, gone.stamp)
    )


def _session_ids(windows: SessionWindows, user_ids: Mapping[int, str]) -> Iterator[str]:
    for user, start_ms in zip(windows.user.tolist(), windows.start_ms.tolist(), strict=True):
        yield cut_session_id(user_ids[user], start_ms)


def _keys(texts: Sequence[str]) -> Keys:
    return np.array([text_key(text) for text in texts], dtype=np.uint64)


def _looked_up(place: Int64s, named: Int64s, keys: Keys) -> Keys:
    """Return the key of each window index, `NO_KEY` for -1; `named` has the indexes of
    `keys`, ascending.
    """
    is_inside = place >= 0
    found = np.full(len(place), NO_KEY, dtype=np.uint64)
    found[is_inside] = keys[np.searchsorted(named, place[is_inside])]
    return found
