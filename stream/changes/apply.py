"""Applies a micro-batch of events to one shard in one write: sessions, indexes, names,
items and positions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stream.changes.acceptance import lateness
from stream.changes.aliases import alias_notes, with_aliases
from stream.changes.encoding import encode
from stream.changes.erase import drop_erased
from stream.changes.fold import fold_bound, fold_returning
from stream.changes.join import join
from stream.changes.lookup import look_up
from stream.changes.plan import merge
from stream.clock import now_ms
from stream.events.columns import ShardBatch, Texts
from stream.events.types import Rejection
from stream.shard.changed_entries import ShardWrite
from stream.shard.shard import Shard


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyResult:
    """What applying a batch did.

    Attributes:
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
    if len(batch.references) or batch.searches:
        others = (joined.puts, alias_notes(batch, shard.erased))
        changes = ShardWrite.joined([changes, *map(ShardWrite, others)], changes.dirty)
    shard.write(changes)
    for names in (plan.queries, plan.item_names):
        shard.name_caches[names.kind].add(names.learnt, names.learnt_hashes)
    return ApplyResult(
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
