"""A shard's format, state and positions, and the ids of its topics."""

from struct import Struct
from typing import NamedTuple

from stream.events.types import SourcePartition
from stream.graph.facts import Digest
from stream.settings import DEFAULT_SESSION_GAP_SECONDS
from stream.shard.codec.kinds import POSITION, TOPIC_ID
from stream.shard.codec.values import (
    VERSION,
    check_version,
    decode_text,
    encode_text,
    read_time,
    stored_time,
)

_DEFAULT_SESSION_GAP_MS = round(DEFAULT_SESSION_GAP_SECONDS * 1000)
_FORMAT = Struct(">BHHHQQ")
_FORMAT_WITHOUT_GAP = Struct(">BHHHQ")
_STATE = Struct(">BQq" + "QQQ" * 2 + "QQQ" + "qQQQ")
_POSITION_KEY = Struct(">BI")
_POSITION = Struct(">BQq")


class ShardFormat(NamedTuple):
    """What a shard was made as."""

    format_version: int
    shard: int
    num_shards: int
    half_life_ms: int
    session_gap_ms: int = _DEFAULT_SESSION_GAP_MS


class ShardState(NamedTuple):
    """How far a shard is, and what is in it.

    Attributes:
        sequence: writes applied since it was made.
        watermark_ms: the largest event time read; None: no event yet.
        facts: the fingerprint and number of all facts, folded ones included.
        edge_facts: the same of those that make edges.
        num_sessions: sessions with a fact that is held.
        num_hyperedges: those of at least two distinct items.
        num_incidences: items over all hyperedges.
        folded_before_ms: facts before this may have been folded already; None: nothing
            ever was.
        folded: the fingerprint and number of the facts whose sessions are no longer
            held.
    """

    sequence: int = 0
    watermark_ms: int | None = None
    facts: Digest = Digest()
    edge_facts: Digest = Digest()
    num_sessions: int = 0
    num_hyperedges: int = 0
    num_incidences: int = 0
    folded_before_ms: int | None = None
    folded: Digest = Digest()

    @property
    def num_facts(self) -> int:
        """How many facts are held."""
        return self.facts.count - self.folded.count


class PartitionProgress(NamedTuple):
    """Where to go on in a partition of a source, and the largest time of the events
    that were read of it (None: none was).
    """

    next_offset: int
    watermark_ms: int | None


def pack_format(shard_format: ShardFormat) -> bytes:
    """Pack the shard's format entry."""
    return _FORMAT.pack(VERSION, *shard_format)


def unpack_format(value: bytes) -> ShardFormat:
    """Unpack the shard's format entry."""
    check_version(value)
    layout = _FORMAT_WITHOUT_GAP if len(value) == _FORMAT_WITHOUT_GAP.size else _FORMAT
    return ShardFormat(*layout.unpack(value)[1:])


def pack_state(state: ShardState) -> bytes:
    """Pack the shard's state entry."""
    counts = state.num_sessions, state.num_hyperedges, state.num_incidences
    return _STATE.pack(
        VERSION,
        state.sequence,
        stored_time(state.watermark_ms),
        *_digest_words(state.facts),
        *_digest_words(state.edge_facts),
        *counts,
        stored_time(state.folded_before_ms),
        *_digest_words(state.folded),
    )


def unpack_state(value: bytes) -> ShardState:
    """Unpack the shard's state entry."""
    check_version(value)
    _, sequence, watermark_ms, *words = _STATE.unpack(value)
    num_sessions, num_hyperedges, num_incidences, folded_before_ms = words[6:10]
    return ShardState(
        sequence=sequence,
        watermark_ms=read_time(watermark_ms),
        facts=Digest(*words[:3]),
        edge_facts=Digest(*words[3:6]),
        num_sessions=num_sessions,
        num_hyperedges=num_hyperedges,
        num_incidences=num_incidences,
        folded_before_ms=read_time(folded_before_ms),
        folded=Digest(*words[10:]),
    )


def topic_id_key(topic: str) -> bytes:
    """Return the key of which topic the positions under a name are in."""
    return TOPIC_ID + encode_text(topic)


def pack_topic_id(topic_id: str) -> bytes:
    """Pack which topic the positions under a name are in."""
    return bytes([VERSION]) + encode_text(topic_id)


def unpack_topic_id(key: bytes, value: bytes) -> tuple[str, str]:
    """Unpack a topic's name and id."""
    check_version(value)
    return decode_text(key[len(TOPIC_ID) :]), decode_text(value[1:])


def position_key(position: SourcePartition) -> bytes:
    """Return the key of how far one partition of a source is."""
    return _POSITION_KEY.pack(POSITION[0], position.partition) + encode_text(position.source)


def pack_partition_progress(progress: PartitionProgress) -> bytes:
    """Pack how far one partition of a source is."""
    return _POSITION.pack(VERSION, progress.next_offset, stored_time(progress.watermark_ms))


def unpack_partition_progress(
    key: bytes, value: bytes
) -> tuple[SourcePartition, PartitionProgress]:
    """Unpack how far one partition of a source is."""
    check_version(value)
    partition = _POSITION_KEY.unpack_from(key)[1]
    source = decode_text(key[_POSITION_KEY.size :])
    _, next_offset, watermark_ms = _POSITION.unpack(value)
    return SourcePartition(source, partition), PartitionProgress(
        next_offset, read_time(watermark_ms)
    )


def _digest_words(digest: Digest) -> tuple[int, int, int]:
    return digest.count, digest.first, digest.second
