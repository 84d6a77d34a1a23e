"""Reads the records of one shard, whoever writes it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import numpy as np

from stream.errors import StoreError
from stream.events.columns import Keys
from stream.events.types import CatalogItem, SourcePartition
from stream.graph.facts import FactColumns
from stream.graph.folded import FoldedEdge, FoldedEdges
from stream.graph.keysets import distinct
from stream.graph.sessions import SessionWindows
from stream.scratch import temporary_folder
from stream.shard import codec
from stream.shard.codec import (
    ErasureTombstone,
    PartitionProgress,
    ShardFormat,
    ShardState,
    StoredSession,
)
from stream.shard.erased_keys import ErasedKeys
from stream.shard.fencing import current_folder, has_database
from stream.shard.query_ids import QueryIdEntry, query_id_key, unpack_query_id
from stream.shard.rocksdb import Database, store_error

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


def _columns(entries: Sequence[tuple[bytes, bytes]]) -> tuple[list[bytes], list[bytes]]:
    """Return the keys of entries, and their values."""
    return [key for key, _ in entries], [value for _, value in entries]


class ShardReader:
    """Reads the records of one database."""

    def __init__(self, database: Database) -> None:
        self.path = database.path
        self._database = database

    def state(self) -> ShardState:
        """Return how far the shard is, and what is in it."""
        return self._one(codec.STATE_KEY, codec.unpack_state) or ShardState()

    def format(self) -> ShardFormat | None:
        """Return what the shard was made as; None: it is brand new."""
        return self._one(codec.FORMAT_KEY, codec.unpack_format)

    def check(self) -> None:
        """Read all that is stored.

        Raises:
            StoreUnreadable: some of it is damaged.
        """
        self._database.check()

    def writer_id(self) -> bytes | None:
        """Return the mark of whoever wrote last; None: no write has left one yet.

        A shard that is opened for writing draws another one. Under one mark, writes
        follow each other: nothing was lost, restored or taken over in between.
        """
        return self._one(codec.WRITER_KEY, bytes)

    def progress(self) -> dict[SourcePartition, PartitionProgress]:
        """Return how far every partition is that was applied to this shard."""
        return dict(self._entries(codec.POSITION, codec.unpack_partition_progress))

    def positions(self) -> dict[SourcePartition, int]:
        """Return the next offset of every partition that was applied to this shard."""
        return {position: progress.next_offset for position, progress in self.progress().items()}

    def topic_ids(self) -> dict[str, str]:
        """Return the id of the topic that the positions under a name are in.

        Left out: names of which no broker has told one.
        """
        return dict(self._entries(codec.TOPIC_ID, codec.unpack_topic_id))

    def query_names(self) -> Iterator[tuple[int, str]]:
        """Yield ``(query_key, text)`` by key."""
        return self._entries(codec.QUERY_NAME, codec.unpack_name)

    def item_names(self) -> Iterator[tuple[int, str]]:
        """Yield ``(item_key, item_id)`` by key."""
        return self._entries(codec.ITEM_NAME, codec.unpack_name)

    def catalog(self) -> Iterator[tuple[int, CatalogItem]]:
        """Yield ``(item_key, item)`` by key."""
        return self._entries(codec.CATALOG, codec.unpack_catalog)

    def entries(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield the packed entries of a kind, or of a longer prefix, by key from
        ``prefix + start`` on.
        """
        return self._database.scan(prefix, start)

    def get_names(self, kind: bytes, keys: Sequence[int]) -> dict[int, str]:
        """Return the texts behind those keys that are known.

        `kind` is `codec.QUERY_NAME` or `ITEM_NAME`.
        """
        return self._get(keys, [codec.name_key(kind, key) for key in keys], codec.unpack_text)

    def get_values(self, entry_keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the packed value of each record; None: not stored."""
        return self._database.get(entry_keys)

    def get_sessions(self, keys: Sequence[int]) -> dict[int, StoredSession]:
        """Return those of the sessions that are stored, wide ones with all that is in
        them.
        """
        parts = self.get_session_entries(keys)
        return {key: self.whole_session(key, record) for key, record in parts.items()}

    def whole_session(self, key: int, entry: StoredSession) -> StoredSession:
        """Return a session with the facts and users of it that are entries of their
        own.
        """
        if entry.items is None:
            return entry
        stored = list(self.entries(codec.key_prefix(codec.WIDE_FACT, key)))
        try:
            facts = codec.unpack_wide_facts(
                [key for key, _ in stored], [value for _, value in stored]
            )
            users = [codec.unpack_seen_user(key) for key, _ in self.entries(codec.seen_prefix(key))]
        except codec.BAD_ENTRY_ERRORS as error:
            raise store_error(self.path, error) from error
        rows = codec.pack_rows(facts.query, facts.item, facts.stamp)
        return entry._replace(user_keys=tuple(users), facts=bytes(rows))

    def session_entries(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield the packed entries of sessions by key, of wide ones as if they were
        not.

        Raises:
            StoreUnreadable: the entry of a wide one is damaged.
        """
        for key, value in self.entries(codec.SESSION):
            if codec.is_wide_session(value):
                try:
                    entry = codec.unpack_keys([key]).item(), codec.unpack_session(value)
                except codec.BAD_ENTRY_ERRORS as error:
                    raise store_error(self.path, error) from error
                whole = self.whole_session(*entry)
                yield key, codec.pack_session(whole.session_id, whole.user_keys, whole.facts)
            else:
                yield key, value

    def get_wide_facts(self, facts: FactColumns) -> FactColumns:
        """Return those of the facts of wide sessions that are stored, as they are, in
        order of their keys.
        """
        keys = sorted(set(codec.wide_fact_keys(facts)))
        values = self.get_values(keys)
        stored = [(key, value) for key, value in zip(keys, values, strict=True) if value]
        try:
            return codec.unpack_wide_facts(
                [key for key, _ in stored], [value for _, value in stored]
            )
        except codec.BAD_ENTRY_ERRORS as error:
            raise store_error(self.path, error) from error

    def has_wide_edge(self, session: int, query: int) -> bool:
        """Return whether a wide session has a fact of a query that makes an edge."""
        found = self.entries(codec.wide_prefix(session, query))
        try:
            return any(
                codec.unpack_wide_facts([key], [value]).makes_edge[0] for key, value in found
            )
        except codec.BAD_ENTRY_ERRORS as error:
            raise store_error(self.path, error) from error

    def get_session_entries(self, keys: Sequence[int]) -> dict[int, StoredSession]:
        """Return those of the sessions that are stored, of wide ones their entry
        alone.
        """
        return self._get(keys, [codec.session_key(key) for key in keys], codec.unpack_session)

    def get_windows(self, users: Keys) -> SessionWindows:
        """Return the stored windows of users' cut sessions, in order of
        (user, start).
        """
        values = self._database.get(codec.one_keys(codec.WINDOWS, users))
        is_stored = np.array([value is not None for value in values], dtype=np.bool_)
        try:
            return codec.unpack_windows(
                users[is_stored], [value for value in values if value is not None]
            )
        except codec.BAD_ENTRY_ERRORS as error:
            raise store_error(self.path, error) from error

    def get_query_ids(self, keys: Sequence[int]) -> dict[int, QueryIdEntry]:
        """Return what is held of those ids of searches of which anything is."""
        return self._get(keys, [query_id_key(key) for key in keys], unpack_query_id)

    def runs_without(self, kind: bytes, key: int, sessions: Keys) -> dict[bytes, bytes]:
        """Return those runs behind a query or an item that have rows of some sessions,
        with their other rows.

        Args:
            kind: `codec.BY_QUERY` or `codec.BY_ITEM`.
            key: of the query or item.
            sessions: ``uint64 [num_sessions]`` session keys.
        """
        runs = dict(self._database.scan(codec.key_prefix(kind, key)))
        try:
            others = codec.without_sessions(list(runs.values()), sessions)
        except codec.BAD_ENTRY_ERRORS as error:
            raise store_error(self.path, error) from error
        return {
            run: left for run, left in zip(runs, others, strict=True) if len(left) < len(runs[run])
        }

    def facts_of_queries(self, queries: Keys) -> FactColumns:
        """Return the facts that make the edges of queries.

        One may be there again with a later time.

        Args:
            queries: ``uint64 [num_queries]`` query keys, ascending.
        """
        return self._facts(codec.one_keys(codec.BY_QUERY, queries), codec.by_query)

    def facts_of_item(self, item_key: int) -> FactColumns:
        """Return the facts on an item, out of any query or none.

        One may be there again with a later time.
        """
        return self._facts([codec.key_prefix(codec.BY_ITEM, item_key)], codec.by_item)

    def facts_on_items_since(self, items: Keys, sequence: int) -> FactColumns:
        """Return the facts on items that writes after `sequence` brought, new ones and
        ones that moved.

        Args:
            items: ``uint64 [num_items]`` item keys, ascending.
            sequence: of the last write that is left out.
        """
        prefixes = codec.one_keys(codec.BY_ITEM, items)
        return self._facts(prefixes, codec.by_item, codec.pack_sequence(sequence + 1))

    def get_catalog(self, keys: Sequence[int]) -> dict[int, CatalogItem]:
        """Return the catalogue entries of those items that have one."""
        packed = [codec.catalog_key(key) for key in keys]
        return self._get(
            keys, packed, lambda value: codec.unpack_catalog(codec.catalog_key(0), value)[1]
        )

    def sessions_of_user(self, user_key: int) -> Keys:
        """Return the keys of the sessions that a user was seen in, ascending."""
        records = self._database.scan(codec.user_prefix(user_key))
        runs = self._unpacked([value for _, value in records], codec.unpack_users)
        found = [sessions[users == np.uint64(user_key)] for users, sessions in runs]
        return distinct(np.concatenate([np.empty(0, dtype=np.uint64), *found]))

    def folded_of(self, kind: bytes, key: int) -> FoldedEdges:
        """Return the folded edges of a query or an item.

        `kind` is `codec.FOLDED` or `FOLDED_BY_ITEM`.
        """
        return self._folded([codec.key_prefix(kind, key)])

    def folded_of_queries(self, queries: Keys) -> FoldedEdges:
        """Return the folded edges of queries.

        Args:
            queries: ``uint64 [num_queries]`` query keys, ascending.
        """
        return self._folded(codec.one_keys(codec.FOLDED, queries))

    def get_folded(self, entry_keys: Sequence[bytes]) -> list[FoldedEdge | None]:
        """Return folded edges in the order of their entry keys.

        None: nothing of it was folded yet.
        """
        try:
            values = self._database.get(entry_keys)
            return [codec.unpack_folded(value) if value else None for value in values]
        except codec.BAD_ENTRY_ERRORS as error:
            raise store_error(self.path, error) from error

    def erased_keys(self) -> ErasedKeys:
        """Return what is erased.

        Raises:
            StoreUnreadable: an entry is damaged.
        """
        try:
            return ErasedKeys.of_entries(
                {
                    kind: list(self.entries(codec.ERASED + byte))
                    for kind, byte in codec.ERASURE_KINDS.items()
                }
            )
        except codec.BAD_ENTRY_ERRORS as error:
            raise store_error(self.path, error) from error

    def tombstones(self) -> Iterator[ErasureTombstone]:
        """Yield the tombstones of all that is erased, by kind and key."""
        for byte in codec.ERASURE_KINDS.values():
            yield from self._entries(codec.ERASED + byte, codec.unpack_tombstone)

    def dirty_since(self, sequence: int) -> tuple[Keys, Keys] | None:
        """Return the keys of queries and of items, ascending, that writes after
        `sequence` touched.

        A node is touched by facts that are new, moved or erased, by its name, and an
        item by its catalogue entry. None: the shard no longer knows that far back;
        take everything for touched.
        """
        oldest = next(self._database.scan(codec.DIRTY), None)
        known_from = codec.unpack_sequence(oldest[0]) if oldest else self.state().sequence + 1
        if sequence + 1 < known_from:
            return None
        start = codec.dirty_key(sequence + 1)[len(codec.DIRTY) :]
        notes = [value for _, value in self._database.scan(codec.DIRTY, start)]
        touched = self._unpacked(notes, codec.unpack_dirty)
        none = np.empty(0, dtype=np.uint64)
        return (
            np.unique(np.concatenate([none, *(queries for queries, _ in touched)])),
            np.unique(np.concatenate([none, *(items for _, items in touched)])),
        )

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _one(self, key: bytes, unpack: Callable[[bytes], _Value]) -> _Value | None:
        return self._get([key], [key], unpack).get(key)

    def _facts(
        self,
        prefixes: Sequence[bytes],
        unpack: Callable[[list[bytes], list[bytes]], FactColumns],
        start: bytes = b"",
    ) -> FactColumns:
        keys, values = _columns(list(self._database.scan_each(prefixes, start)))
        try:
            return unpack(keys, values)
        except codec.BAD_ENTRY_ERRORS as error:
            raise store_error(self.path, error) from error

    def _unpacked(self, values: Sequence[bytes], unpack: Callable[[bytes], _Value]) -> list[_Value]:
        try:
            return [unpack(value) for value in values]
        except codec.BAD_ENTRY_ERRORS as error:
            raise store_error(self.path, error) from error

    def _folded(self, prefixes: Sequence[bytes]) -> FoldedEdges:
        records = self._database.scan_each(prefixes, b"")
        try:
            return {
                codec.unpack_folded_pair(key): codec.unpack_folded(value) for key, value in records
            }
        except codec.BAD_ENTRY_ERRORS as error:
            raise store_error(self.path, error) from error

    def _get(
        self, keys: Sequence[_Key], packed: list[bytes], unpack: Callable[[bytes], _Value]
    ) -> dict[_Key, _Value]:
        """Return the records that are stored under `packed`, by the key in `keys` that
        each stands for.
        """
        values = self._database.get(packed)
        try:
            return {
                key: unpack(value)
                for key, value in zip(keys, values, strict=True)
                if value is not None
            }
        except codec.BAD_ENTRY_ERRORS as error:
            raise store_error(self.path, error) from error

    def _entries(self, prefix: bytes, unpack: Callable[[bytes, bytes], _Value]) -> Iterator[_Value]:
        for key, value in self._database.scan(prefix):
            try:
                record = unpack(key, value)
            except codec.BAD_ENTRY_ERRORS as error:
                raise store_error(self.path, error) from error
            yield record


class ShardView(ShardReader):
    """One shard, or a snapshot of one, opened for reading.

    As of then, while another process may write it.

    It is opened through a temporary folder of links, because opening writes files of
    its own: nothing in `path` is touched, and no right to write there is needed.
    """

    def __init__(self, path: Path) -> None:
        self._links = ExitStack()
        try:
            links = self._links.enter_context(temporary_folder("freshet-reader-", path.parent))
            super().__init__(Database.open_while_written(path, links, lambda: current_folder(path)))
        except BaseException:
            self._links.close()
            raise

    def close(self) -> None:
        """Close the database and remove the links."""
        super().close()
        self._links.close()


def open_views(folders: Sequence[Path]) -> list[ShardView]:
    """Open shards for reading, those that exist.

    Raises:
        StoreUnreadable: one of them is damaged.
    """
    shards: list[ShardView] = []
    try:
        shards.extend(ShardView(path) for path in folders if has_database(path))
    except StoreError:
        for shard in shards:
            shard.close()
        raise
    return shards
