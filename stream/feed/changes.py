"""What one write of a shard changed, for whoever follows the graph without reading it.

No session, no user and no time of a single event is in it: an erasure finds nothing
here but names.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from stream.dtypes import Bools, Int64s
from stream.events.columns import Keys
from stream.events.types import CatalogItem
from stream.graph.keysets import order_by, run_starts

_NO_KEYS: Keys = np.empty(0, dtype=np.uint64)
_NO_NUMBERS: Int64s = np.empty(0, dtype=np.int64)


class WriterMark(NamedTuple):
    """A place in the history of a shard.

    Attributes:
        writer: the random id of whoever wrote last, in hexadecimal
            (`stream.shard.reader.ShardReader.writer_id`); empty: nobody has yet.
        sequence: writes applied to the shard by then.
    """

    writer: str = ""
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class EdgeChanges:
    """Edges whose number of distinct sessions changed, each once, by (query, item).

    Attributes:
        query: ``uint64 [num_edges]`` query key.
        item: ``uint64 [num_edges]`` item key.
        sessions: ``int64 [num_edges]`` by how much; never 0. An edge whose sessions add
            up to 0 is gone.
    """

    query: Keys
    item: Keys
    sessions: Int64s

    def __len__(self) -> int:
        return len(self.query)

    @classmethod
    def empty(cls) -> Self:
        """Return no edges."""
        return cls(_NO_KEYS, _NO_KEYS, _NO_NUMBERS)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the changes of all parts, one after the other."""
        return cls(
            np.concatenate([part.query for part in parts]),
            np.concatenate([part.item for part in parts]),
            np.concatenate([part.sessions for part in parts]),
        )

    def summed(self) -> Self:
        """Return each edge once, by (query, item), without those that stay as they
        were.
        """
        if not len(self):
            return self
        order = order_by(self.query, self.item)
        query, item = self.query[order], self.item[order]
        firsts = np.flatnonzero(run_starts(query, item))
        sessions = np.add.reduceat(self.sessions[order], firsts)
        is_changed = sessions != 0
        rows = firsts[is_changed]
        return type(self)(query[rows], item[rows], sessions[is_changed])


class MemberRows(NamedTuple):
    """Members of hyperedges, before or after a write, a row each.

    Attributes:
        session: ``int64 [num_members]`` a number of the session.
        member: ``uint64 [num_members]`` key of an item or a query.
        is_query: ``bool [num_members]`` what the key is of.
        was_in: ``bool [num_members]`` a member before the write.
        is_in: ``bool [num_members]`` a member after it.
    """

    session: Int64s
    member: Keys
    is_query: Bools
    was_in: Bools
    is_in: Bools

    def take(self, index: Int64s | Bools) -> "MemberRows":
        """Return the rows at these indexes, or where a mask is true."""
        return MemberRows(
            session=self.session[index],
            member=self.member[index],
            is_query=self.is_query[index],
            was_in=self.was_in[index],
            is_in=self.is_in[index],
        )


@dataclass(frozen=True, slots=True)
class SessionChanges:
    """Sessions whose hyperedge changed, with their members before and after.

    A hyperedge has the items that `stream.graph.facts.hyperedge_rows` gives it, and the
    queries of the session's facts that make edges; a session of fewer than two items
    has no members.

    Of a partial session, one that has long had more facts than a person's, only the
    queries that joined or left are told, and some items, which say about where it is.
    What else its hyperedge has stays as it was.

    Attributes:
        starts: ``int64 [num_sessions + 1]`` where each session's members begin, and
            where the last one's end.
        is_partial: ``bool [num_sessions]``.
        member: ``uint64 [num_members]`` key of an item or a query; each once a session,
            items first.
        is_query: ``bool [num_members]`` what the key is of.
        was_in: ``bool [num_members]`` a member before the write.
        is_in: ``bool [num_members]`` a member after it.
    """

    starts: Int64s
    is_partial: Bools
    member: Keys
    is_query: Bools
    was_in: Bools
    is_in: Bools

    def __len__(self) -> int:
        return len(self.is_partial)

    @classmethod
    def empty(cls) -> Self:
        """Return no sessions."""
        none = np.empty(0, dtype=np.bool_)
        return cls(np.zeros(1, dtype=np.int64), none, _NO_KEYS, none, none, none)

    @classmethod
    def of_rows(cls, rows: "MemberRows", is_partial: Bools) -> Self:
        """Return the changes that rows of members, a session's together, make.

        Args:
            rows: in order of session; `MemberRows.session` numbers them from 0.
            is_partial: ``bool [num_sessions]``.
        """
        sizes = np.bincount(rows.session, minlength=len(is_partial))
        starts = np.append(0, np.cumsum(sizes)).astype(np.int64)
        return cls(starts, is_partial, rows.member, rows.is_query, rows.was_in, rows.is_in)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the sessions of all parts, one after the other."""
        sizes = np.concatenate([np.diff(part.starts) for part in parts])
        return cls(
            np.append(0, np.cumsum(sizes)).astype(np.int64),
            np.concatenate([part.is_partial for part in parts]),
            np.concatenate([part.member for part in parts]),
            np.concatenate([part.is_query for part in parts]),
            np.concatenate([part.was_in for part in parts]),
            np.concatenate([part.is_in for part in parts]),
        )

    @property
    def session_of_member(self) -> Int64s:
        """``int64 [num_members]`` which session each member is of, from 0."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))

    def members(self, number: int, *, after: bool) -> tuple[Keys, Keys]:
        """Return the queries and the items of a session's hyperedge, before or after
        the write.
        """
        own = slice(int(self.starts[number]), int(self.starts[number + 1]))
        is_there = (self.is_in if after else self.was_in)[own]
        is_query, member = self.is_query[own], self.member[own]
        return member[is_there & is_query], member[is_there & ~is_query]


class KeyedTexts(Mapping[int, str]):
    """Texts by key, of which a mapping is made when one is asked for.

    Args:
        keys: ``uint64 [num_texts]``.
        texts: of each.
    """

    def __init__(self, keys: Keys, texts: Sequence[str]) -> None:
        self.keys_of_texts = keys
        self.texts = texts

    @classmethod
    def of(cls, texts: Mapping[int, str]) -> Self:
        """Return texts that are at hand by key."""
        return cls(np.array(list(texts), dtype=np.uint64), list(texts.values()))

    @cached_property
    def _by_key(self) -> dict[int, str]:
        return dict(zip(self.keys_of_texts.tolist(), self.texts, strict=True))

    def __getitem__(self, key: int) -> str:
        return self._by_key[key]

    def __iter__(self) -> Iterator[int]:
        return iter(self._by_key)

    def __len__(self) -> int:
        return len(self.texts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and self._by_key == dict(other)

    __hash__ = None  # type: ignore[assignment]  # as a dict


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardChanges:
    """What one write of a shard changed. Times are epoch milliseconds, 0: unknown.

    Folding is no change: what it takes from hyperedges is seen in the next snapshot.

    Attributes:
        shard: its index.
        sequence: of the write.
        written_ms: when it was written, by the clock of its machine.
        oldest_record_ms: the least time that the write's records carry in Kafka.
        newest_record_ms: the largest.
        consumed_ms: when the first of its records was read.
        event_ms: the largest event time among its events.
        reflected_ms: every record that had reached the shard's partitions by then, in
            broker time, is in this write or one before it.
        edges: of the shard; sum those of all shards.
        sessions: whose hyperedges changed.
        query_names: the texts of queries that the shard had no name of, by key.
        item_names: the ids of items that it had no name of, by key.
        catalog: the states that it stored, by item key; the newest over all shards
            counts (`stream.graph.catalog.newest_over_shards`).
        gone_queries: ``uint64 [num_gone]`` keys that the shard has nothing of any more,
            because of an erasure.
        gone_items: ``uint64 [num_gone]`` the same of items, their catalogue entries
            included.
    """

    shard: int
    sequence: int
    written_ms: int = 0
    oldest_record_ms: int = 0
    newest_record_ms: int = 0
    consumed_ms: int = 0
    event_ms: int = 0
    reflected_ms: int = 0
    edges: EdgeChanges = field(default_factory=EdgeChanges.empty)
    sessions: SessionChanges = field(default_factory=SessionChanges.empty)
    query_names: Mapping[int, str] = field(default_factory=dict)
    item_names: Mapping[int, str] = field(default_factory=dict)
    catalog: Mapping[int, CatalogItem] = field(default_factory=dict)
    gone_queries: NDArray[np.uint64] = field(default_factory=lambda: _NO_KEYS)
    gone_items: NDArray[np.uint64] = field(default_factory=lambda: _NO_KEYS)
