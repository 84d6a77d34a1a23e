"""What the definition makes of a case, shard by shard, by sorting and plain sets."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from stream.events.limits import CUT_PREFIX
from stream.events.types import CatalogItem, Erasure, Interaction, SearchRecord
from stream.kafka.partitioner import shard_of
from testing.laws.case import Case, Log, shard_index_of
from testing.laws.encodings import Entry
from testing.laws.stores import SETTINGS
from testing.oracle import newest_states, with_searches, with_sessions


@dataclass(frozen=True, slots=True)
class ExpectedShard:
    """What a shard must hold.

    Attributes:
        read: the interactions that were read for it.
        named: those that are not late, each with its session, erased ones included.
        events: what is left of them.
        states: of catalogue items, in order, those of erased items left out.
        erased_users: ids.
    """

    read: Sequence[Interaction]
    named: Sequence[Interaction]
    events: Sequence[Interaction]
    states: Sequence[CatalogItem]
    erased_users: frozenset[str]


def expected_shards(case: Case, gap_ms: int) -> list[ExpectedShard]:
    """Return what each shard of a case's store must hold.

    Args:
        case: its logs count, and its bound, not how they are delivered.
        gap_ms: the most milliseconds between neighbours in a session that is cut.
    """
    return [_expected(case, index, gap_ms) for index in range(case.num_shards)]


def expected_items(shards: Sequence[ExpectedShard]) -> dict[str, CatalogItem]:
    """Return the newest state of each catalogue item, by its id.

    An item's states without a time are in one log only.
    """
    return newest_states(state for shard in shards for state in shard.states)


def joined_visits(shards: Sequence[ExpectedShard]) -> list[Interaction]:
    """Return what is left of all shards' events, with the sessions that readers give
    them: the visits that several shards cut a part of are cut as one.
    """
    gap_ms = round(SETTINGS.session_gap_seconds * 1000)
    cut = [
        replace(event, session_id="")
        for shard in shards
        for event in shard.named
        if event.session_id.startswith(CUT_PREFIX)
    ]
    session_of = {(one.user_id, one.ts_ms): one.session_id for one in with_sessions(cut, gap_ms)}
    return [
        replace(event, session_id=session_of[event.user_id, event.ts_ms])
        if event.session_id.startswith(CUT_PREFIX)
        else event
        for shard in shards
        for event in shard.events
    ]


def _expected(case: Case, index: int, gap_ms: int) -> ExpectedShard:
    logs = [log for log in case.logs if index in log.shards]
    own = [entry for log in logs for entry in log.entries() if _is_here(entry, case, index)]
    searches = [entry for entry in own if isinstance(entry, SearchRecord)]
    in_time = [event for log in logs for event in _in_time(log, case, index)]
    in_time = with_searches(in_time, searches, SETTINGS.query_join_ms)
    gone = {
        kind: frozenset(one.id for one in own if isinstance(one, Erasure) and one.kind == kind)
        for kind in ("user", "session", "item")
    }
    named = with_sessions(in_time, gap_ms)
    sessions = gone["session"] | {one.session_id for one in named if one.user_id in gone["user"]}
    return ExpectedShard(
        read=[entry for entry in own if isinstance(entry, Interaction)],
        named=named,
        events=[
            one
            for one in named
            if one.session_id not in sessions and one.item_id not in gone["item"]
        ],
        states=[
            entry
            for entry in own
            if isinstance(entry, CatalogItem) and entry.item_id not in gone["item"]
        ],
        erased_users=gone["user"],
    )


def _is_here(entry: Entry, case: Case, index: int) -> bool:
    """Whether what is in one of a shard's logs is for the shard."""
    if case.by_partition:
        return True
    if isinstance(entry, SearchRecord):
        return True
    if not isinstance(entry, Erasure):
        return shard_index_of(entry, case.num_shards) == index
    # A user or an item may be in any shard, a session is in one.
    return entry.kind != "session" or shard_of(entry.id, case.num_shards) == index


def _in_time(log: Log, case: Case, index: int) -> Iterator[Interaction]:
    """Yield the interactions of a log that are not late, taken one by one."""
    newest_ms = 0
    for entry in log.entries():
        if isinstance(entry, Interaction) and _is_here(entry, case, index):
            if case.retention_ms is None or entry.ts_ms >= newest_ms - case.retention_ms:
                yield entry
            newest_ms = max(newest_ms, entry.ts_ms)
