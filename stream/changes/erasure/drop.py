"""What comes of the erased later, and is dropped."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from protos.text import text_key
from stream.changes.acceptance import Lateness
from stream.changes.erasure.erase import erase, erase_all, next_state
from stream.changes.erasure.orders import sessions_of_erased_users, users_of_erased_aliases
from stream.changes.removal.users import user_notes
from stream.dtypes import Bools
from stream.events.columns import NO_KEY, EventColumns, ShardBatch, no_events
from stream.events.types import CatalogItem, SearchRecord
from stream.shard import codec
from stream.shard.changed_entries import ShardWrite
from stream.shard.shard import Shard


class ErasureOutcome(NamedTuple):
    """What erasing leaves of a batch.

    Attributes:
        batch: without the events of erased ids.
        late: which of its events are late.
        visits: events without a session that are dropped for their item alone: they
            still say when their user was there.
        erased_facts: facts that erasures removed.
        dropped: interactions that were left out.
    """

    batch: ShardBatch
    late: Lateness
    visits: EventColumns
    erased_facts: int
    dropped: int


def drop_erased(shard: Shard, batch: ShardBatch, late: Lateness, now_ms: int) -> ErasureOutcome:
    """Apply a batch's erasures and return its other events, without those of
    erased ids.

    An event of an erased user erases its session as well, and one that is seen with an
    erased alias its user: it makes no difference which of the two came first. A late
    event erases no session: had it come first, it would have been refused.

    Args:
        shard: written to.
        batch: events and erasures, of this shard or of none.
        late: which of the events are late.
        now_ms: the time, for the audit.

    Raises:
        StoreWriteFailed: the disk refused; what was written is finished by the next
            call.
        StoreUnreadable: the shard's files are damaged.
    """
    erased_facts = 0
    if batch.erasures or shard.erased.pending:
        erased_facts = erase(shard, batch.erasures, now_ms)
    if shard.erased.is_empty:
        return ErasureOutcome(batch, late, no_events(), erased_facts, 0)
    if found := users_of_erased_aliases(shard, batch):
        erased_facts += erase_all(shard, found, now_ms)
    if found := sessions_of_erased_users(shard, batch.events.take(~late.is_late)):
        erased_facts += erase_all(shard, found, now_ms)
    return _masked(shard, batch, late, erased_facts)


def _masked(shard: Shard, batch: ShardBatch, late: Lateness, erased_facts: int) -> ErasureOutcome:
    events, erased = batch.events, shard.erased
    is_gone = erased.contains("user", events.user) | erased.contains("session", events.session)
    is_on_item = erased.contains("item", events.item) & ~is_gone
    on_item = events.take(is_on_item & ~late.is_late)
    _note_users(shard, on_item)
    is_kept = ~(is_gone | is_on_item)
    items = _kept_items(shard, batch.items)
    searches = _kept_searches(shard, batch.searches)
    if is_kept.all() and len(items) == len(batch.items) and len(searches) == len(batch.searches):
        return ErasureOutcome(batch, late, no_events(), erased_facts, 0)
    rest = replace(
        batch,
        events=events.take(is_kept),
        place=batch.place[is_kept],
        items=items,
        references=batch.references.take(is_kept),
        searches=searches,
    )
    return ErasureOutcome(
        batch=rest,
        late=late.take(is_kept),
        visits=on_item.take(on_item.session == NO_KEY),
        erased_facts=erased_facts,
        dropped=len(events) - len(rest.events),
    )


def _kept_items(
    shard: Shard, items: list[tuple[CatalogItem, int, int]]
) -> list[tuple[CatalogItem, int, int]]:
    keys = np.array([text_key(item.item_id) for item, _, _ in items], dtype=np.uint64)
    is_erased: Bools = shard.erased.contains("item", keys)
    return [entry for entry, erased in zip(items, is_erased.tolist(), strict=True) if not erased]


def _kept_searches(shard: Shard, searches: list[SearchRecord]) -> list[SearchRecord]:
    def is_kept(search: SearchRecord) -> bool:
        users = np.array([text_key(user) for user in search.user_ids], dtype=np.uint64)
        return not shard.erased.contains("user", users).any()

    return [search for search in searches if is_kept(search)]


def _note_users(shard: Shard, events: EventColumns) -> None:
    """Keep who was seen in which session by events that are dropped for their item
    alone.

    The session lives on, and an erasure of the user must reach it, as if the event had
    come first.
    """
    events = events.take((events.user != NO_KEY) & (events.session != NO_KEY))
    pairs = sorted(set(zip(events.session.tolist(), events.user.tolist(), strict=True)))
    keys = [codec.seen_key(session, user) for session, user in pairs]
    known = shard.get_values(keys)
    new = [pair for pair, value in zip(pairs, known, strict=True) if value is None]
    if new:
        state = next_state(shard)
        session, user = np.array(new, dtype=np.uint64).T
        notes = user_notes(session, user, state.sequence)
        own = ShardWrite.of({codec.STATE_KEY: codec.pack_state(state)})
        shard.write(ShardWrite.joined([notes, own]))
