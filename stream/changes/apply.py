"""A micro-batch of events becomes one write to one shard.

Sessions, indexes, names, items and positions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stream.changes.encoding import encode
from stream.changes.erase import without_erased
from stream.changes.fold import fold_returning
from stream.changes.lookup import look_up
from stream.changes.plan import merge
from stream.clock import now_ms
from stream.events.columns import ShardBatch, Texts
from stream.events.types import Rejection
from stream.shard.shard import Shard


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What a batch did.

    Attributes:
        new_facts: facts not known before.
        duplicates: interactions that were accepted and made no new fact.
        erased_facts: facts that erasures took away.
        dropped: interactions of users, sessions or items that are to be forgotten.
        refusals: what was left out, with reasons.
        sequence: writes applied to the shard since it was made, this one included.
        watermark_ms: the largest event time applied to the shard; None: no event was
            applied yet.
    """

    new_facts: int
    duplicates: int
    erased_facts: int = 0
    dropped: int = 0
    refusals: tuple[Rejection, ...] = ()
    sequence: int
    watermark_ms: int | None


def apply_batch(
    shard: Shard,
    batch: ShardBatch,
    texts: Texts,
    *,
    on_refused: Callable[[Sequence[Rejection]], None] | None = None,
) -> Applied:
    """Apply events, catalogue items and the positions behind them in one write.

    All of it or none.

    Erasures come first, in writes of their own; what they erase, now or in an earlier
    batch, is dropped.

    Args:
        shard: where to.
        batch: events of sessions that live in this shard, in any order; the last state
            of an item stays.
        texts: what is behind the keys of the batch.
        on_refused: called with the refusals, if any, before the write; what it raises
            stops the write.

    Raises:
        StoreWriteFailed: the disk refused; nothing was applied.
        StoreStalled: the disk cannot keep up for the moment; nothing was applied.
        StoreUnreadable: the shard's files are damaged; nothing was applied.
    """
    survivors = without_erased(shard, batch, now_ms())
    fold_returning(shard, survivors.batch.events.session)
    plan = merge(look_up(shard, survivors.batch, texts))
    if plan.accepted.refusals and on_refused is not None:
        on_refused(plan.accepted.refusals)
    shard.write(encode(plan, texts))
    for names in (plan.lookup.queries, plan.lookup.item_names):
        shard.known_names[names.kind].learn(names.learnt, names.learnt_hashes)
    return Applied(
        new_facts=plan.num_new,
        duplicates=int(plan.accepted.mask.sum()) - plan.num_new,
        erased_facts=survivors.erased_facts,
        dropped=survivors.dropped,
        refusals=plan.accepted.refusals,
        sequence=plan.state.sequence,
        watermark_ms=plan.state.watermark_ms,
    )
