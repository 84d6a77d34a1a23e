"""Applies a micro-batch of events to one shard in one write: sessions, indexes, names,
items and positions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from stream.actions import Action
from stream.changes.acceptance import lateness
from stream.changes.aliases import alias_notes, with_aliases
from stream.changes.encoding import encode
from stream.changes.erasure.drop import drop_erased
from stream.changes.fold import fold_bound, fold_returning
from stream.changes.join import join
from stream.changes.lookup import look_up
from stream.changes.plan import OlderState, Plan, merge
from stream.clock import now_ms
from stream.dtypes import Int64s
from stream.events.columns import Keys, ShardBatch, Texts
from stream.events.types import Rejection
from stream.feed.changes import KeyedTexts, SessionChanges, ShardChanges
from stream.feed.members import FactTable, edge_changes, session_changes, wide_changes
from stream.shard import codec
from stream.shard.changed_entries import ShardWrite
from stream.shard.shard import Shard


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyResult:
    """What applying a batch did.

    Attributes:
        by_action: ``int64 [num_actions]`` interactions applied, duplicates included, by
            `stream.actions.Action`; neither what was refused nor what was dropped.
        num_items: states of catalogue items that came.
        older: states that changed nothing, because a newer one is known.
        new_facts: facts that were not stored before.
        duplicates: interactions that were accepted and made no new fact.
        erased_facts: facts that erasures removed.
        dropped: interactions of erased users, sessions or items.
        refusals: events that were rejected, with reasons.
        named: actions that name their search by an id.
        joined: those of them, and of earlier ones, that found the text of it.
        overused: actions and texts that were not held, because their id has too many.
        widened: ids of the sessions that became wide (`stream.shard.codec.WIDE_ROWS`).
        sequence: writes applied to the shard since it was made, this one included.
        watermark_ms: the largest event time read for the shard; None: none was yet.
    """

    by_action: Int64s
    num_items: int
    older: Sequence[OlderState] = ()
    new_facts: int
    duplicates: int
    erased_facts: int = 0
    dropped: int = 0
    refusals: tuple[Rejection, ...] = ()
    named: int = 0
    joined: int = 0
    overused: int = 0
    widened: tuple[str, ...] = ()
    sequence: int
    watermark_ms: int | None


def apply_batch(
    shard: Shard,
    batch: ShardBatch,
    texts: Texts,
    *,
    on_refused: Callable[[Sequence[Rejection]], None] | None = None,
) -> ApplyResult:
    """Apply events, catalogue items and the positions after them in one write, all or
    none.

    Erasures come first, in writes of their own; events of ids that are erased, in this
    batch or an earlier one, are dropped. Actions that name their search by an id are
    joined with its text, in this batch or an earlier one, in the same write.

    Args:
        shard: written to.
        batch: events of sessions of this shard, in any order; the newest state of an
            item is kept.
        texts: the texts of the batch's keys.
        on_refused: called with the refusals, if any, before the write; what it raises
            stops the write.

    Raises:
        StoreWriteFailed: the disk refused; nothing was applied.
        StoreStalled: flushes or compaction cannot keep up; nothing was applied.
        StoreUnreadable: the shard's files are damaged; nothing was applied.
    """
    now = now_ms()
    if len(batch.references):
        batch = with_aliases(batch)
    progress = shard.progress()
    bound_ms = fold_bound(shard.state(), progress, shard.fold_age_ms)
    late = lateness(batch, progress, bound_ms, shard.fold_age_ms)
    survivors = drop_erased(shard, batch, late, now)
    joined = join(shard, survivors.batch, survivors.late, texts, now)
    fold_returning(shard, joined.batch.events.session)
    plan = merge(look_up(shard, joined.batch, joined.late, survivors.visits, texts))
    if plan.accepted.refusals and on_refused is not None:
        on_refused(plan.accepted.refusals)
    changes = encode(plan, texts)
    if shard.keeps_feed:
        changes = replace(changes, changes=_told(shard, batch, plan, texts, now))
    if len(batch.references) or batch.searches:
        others = (joined.puts, alias_notes(batch, shard.erased))
        changes = ShardWrite.joined(
            [changes, *map(ShardWrite, others)], changes.dirty, changes.changes
        )
    shard.write(replace(changes, reflected_ms=batch.reflected_ms))
    for names in (plan.queries, plan.item_names):
        known = shard.name_caches[names.kind]
        known.add(names.learnt, names.learnt_hashes, names.is_found)
    # Held actions that found their search stand behind those of the batch, which count.
    own = survivors.batch.events.action
    return ApplyResult(
        by_action=np.bincount(own[plan.accepted.mask[: len(own)]], minlength=max(Action) + 1),
        num_items=len(plan.lookup.items),
        older=plan.older,
        new_facts=plan.num_new,
        duplicates=int(plan.accepted.mask.sum()) - plan.num_new,
        erased_facts=survivors.erased_facts,
        dropped=survivors.dropped,
        refusals=plan.accepted.refusals,
        named=joined.named,
        joined=joined.joined,
        overused=joined.overused,
        widened=tuple(texts.sessions[key] for key in plan.widened),
        sequence=plan.state.sequence,
        watermark_ms=plan.state.watermark_ms,
    )


def _told(
    shard: Shard, batch: ShardBatch, plan: Plan, texts: Texts, written_ms: int
) -> ShardChanges:
    """Return what the feed tells of a plan."""
    wide = plan.lookup.sessions.wide
    old_stamp = plan.facts.stamp
    if len(plan.replaced):
        old_stamp = old_stamp.copy()
        old_stamp[plan.is_changed & ~plan.is_new] = plan.replaced.stamp
    table = FactTable(
        facts=plan.facts,
        was_in=~plan.is_new,
        is_in=np.ones(len(plan.facts), dtype=np.bool_),
        old_stamp=old_stamp,
        by_item=plan.by_item,
    )
    edges = edge_changes(table.with_gone(plan.lookup.sessions.facts.gone))
    whole = table
    if wide:
        whole = table.take(~np.isin(plan.facts.session, np.array(list(wide), dtype=np.uint64)))
    sessions = session_changes(
        whole.with_gone(plan.lookup.sessions.facts.gone),
        lambda keys: _item_ids(shard, keys, texts),
    )
    if wide:
        sessions = SessionChanges.joined([sessions, _wide_told(plan)])
    times = _record_times(batch)
    return ShardChanges(
        shard=shard.index,
        sequence=plan.state.sequence,
        written_ms=written_ms,
        oldest_record_ms=min(times, default=0),
        newest_record_ms=max(times, default=0),
        consumed_ms=min(batch.read_ms, default=0),
        event_ms=int(batch.events.ts_ms.max(initial=0)),
        edges=edges,
        sessions=sessions,
        query_names=KeyedTexts(plan.queries.new, plan.queries.new_texts),
        item_names=KeyedTexts(plan.item_names.new, plan.item_names.new_texts),
        catalog=plan.items,
    )


def _wide_told(plan: Plan) -> SessionChanges:
    """Return the changes of sessions that were wide before."""
    wide, searched = plan.lookup.sessions.wide, plan.lookup.sessions.searched
    facts = plan.facts.take(plan.is_new & plan.facts.makes_edge)
    facts = facts.take(np.isin(facts.session, np.array(list(wide), dtype=np.uint64)))
    pairs = set(zip(facts.session.tolist(), facts.query.tolist(), strict=True)) - searched
    joined: dict[int, list[int]] = {}
    for session, query in sorted(pairs):
        joined.setdefault(session, []).append(query)
    before = {key: record.items or () for key, record in wide.items()}
    after = {key: plan.wide.get(key, items) for key, items in before.items()}
    return wide_changes(before, after, joined)


def _item_ids(shard: Shard, keys: Keys, texts: Texts) -> dict[int, str]:
    """Return the ids of items, of a batch or stored before."""
    known = {key: texts.items[key] for key in keys.tolist() if key in texts.items}
    others = [key for key in keys.tolist() if key not in known]
    return {**known, **shard.get_names(codec.ITEM_NAME, others)}


def _record_times(batch: ShardBatch) -> list[int]:
    """Return the least and the largest time of each batch's records that have one."""
    times = [records.times_ms for records in batch.batches if records.times_ms]
    return [each for own in times for each in (min(own), max(own)) if each > 0]
