"""Pure: what a batch changes, as the records of one write."""

from itertools import compress

import numpy as np

from stream.changes.plan import Plan
from stream.events.columns import NO_KEY, Keys, Texts, texts_of
from stream.graph.facts import FactColumns
from stream.graph.keysets import distinct, order_by, run_starts
from stream.shard import codec
from stream.shard.changed_entries import DirtyKeys, ShardWrite
from stream.shard.rocksdb import Puts


def encode(plan: Plan, texts: Texts) -> ShardWrite:
    """Return the records that carry out a plan: sessions, the facts behind queries and
    items, users, names, catalogue, state and positions.
    """
    lookup, sequence = plan.lookup, plan.state.sequence
    changed = plan.facts.take(plan.is_changed)
    searched = changed.take(changed.query != NO_KEY)
    queries, query_runs = _runs(searched.query, searched.item, searched)
    items, item_runs = _runs(changed.item, changed.query, changed)

    puts = Puts()
    for names in (plan.queries, plan.item_names):
        puts.extend(codec.one_keys(names.kind, names.new), codec.pack_names(names.new_texts))
    for item_key, item in plan.items.items():
        puts.put(codec.catalog_key(item_key), codec.pack_catalog(item))
    puts.extend(*codec.pack_windows(lookup.cut.windows))
    puts.extend(*codec.user_runs(plan.users.user, plan.users.session, sequence))
    puts.extend(*_session_entries(plan, texts))
    if plan.wide:
        _put_wide_sessions(puts, plan, texts)
    puts.extend(codec.run_keys(codec.BY_QUERY, queries, sequence), query_runs)
    puts.extend(codec.run_keys(codec.BY_ITEM, items, sequence), item_runs)
    rows_left = lookup.sessions.rows_left
    for run, rows in rows_left.items():
        if rows:
            puts.put(run, rows)
    puts.put(codec.STATE_KEY, codec.pack_state(plan.state))
    for position, progress in plan.progress.items():
        puts.put(codec.position_key(position), codec.pack_partition_progress(progress))

    deletes = codec.one_keys(codec.SESSION, lookup.cut.renames.old)
    deletes += [run for run, rows in rows_left.items() if not rows]
    deletes += lookup.sessions.gone_keys
    return ShardWrite(puts, deletes, _dirty_keys(plan, queries, items))


def _session_entries(plan: Plan, texts: Texts) -> tuple[list[bytes], list[bytes]]:
    """Return the records of sessions with new or moved facts, or with new users; of
    those alone that are not wide.
    """
    facts, users, records = plan.facts, plan.users.by_session, plan.lookup.sessions.records
    is_changed = plan.is_changed
    if plan.wide:
        is_narrow = ~np.isin(facts.session, np.array(list(plan.wide), dtype=np.uint64))
        facts, is_changed = facts.take(is_narrow), is_changed[is_narrow]
    firsts = np.flatnonzero(run_starts(facts.session))
    sessions = facts.session[firsts].tolist()
    rows = codec.split_rows(codec.pack_rows(facts.query, facts.item, facts.stamp), firsts)
    values = codec.pack_sessions(
        texts_of(texts.sessions, facts.session[firsts]),
        [users.get(key, ()) for key in sessions],
        rows,
    )
    keys = codec.one_keys(codec.SESSION, facts.session[firsts])
    if not records or not len(firsts):
        return keys, values
    has_changed = np.logical_or.reduceat(is_changed, firsts).tolist()
    is_put = [
        changed or key not in records or users.get(key, ()) != records[key].user_keys
        for key, changed in zip(sessions, has_changed, strict=True)
    ]
    return list(compress(keys, is_put)), list(compress(values, is_put))


def _put_wide_sessions(puts: Puts, plan: Plan, texts: Texts) -> None:
    """Put what is new of wide sessions; of those that become it, all."""
    stored = plan.lookup.sessions.wide
    is_wide = np.isin(plan.facts.session, np.array(list(plan.wide), dtype=np.uint64))
    is_stored = np.isin(plan.facts.session, np.array(list(stored), dtype=np.uint64))
    puts.extend(*codec.wide_facts(plan.facts.take(is_wide & (plan.is_changed | ~is_stored))))
    for key, items in plan.wide.items():
        if key not in stored or items != stored[key].items:
            entry = codec.pack_wide_session(texts.sessions[key], items)
            puts.put(codec.session_key(key), entry)
        for user in plan.users.by_session.get(key, ()):
            puts.put(codec.seen_key(key, user), codec.SEEN_VALUE)


def _runs(major: Keys, minor: Keys, facts: FactColumns) -> tuple[Keys, list[bytes]]:
    """Return the distinct major keys, ascending, and the rows of (minor key, session,
    stamp) behind each.
    """
    # Stable, so the rows of a (major, minor) pair keep their order by session.
    order = order_by(major, minor)
    major, minor, facts = major[order], minor[order], facts.take(order)
    firsts = np.flatnonzero(run_starts(major))
    rows = codec.split_rows(codec.pack_rows(minor, facts.session, facts.stamp), firsts)
    return major[firsts], rows


def _dirty_keys(plan: Plan, queries: Keys, items: Keys) -> DirtyKeys:
    """Return the nodes with new, moved or renamed facts, new names or another state in
    the catalogue.
    """
    lookup = plan.lookup
    listed = np.array(list(plan.items), dtype=np.uint64)
    return DirtyKeys(
        plan.state.sequence,
        queries=_union(queries, lookup.sessions.bare_queries, plan.queries.new),
        items=_union(items, lookup.sessions.bare_items, plan.item_names.new, listed),
    )


def _union(*parts: Keys) -> Keys:
    return distinct(np.concatenate(parts))
