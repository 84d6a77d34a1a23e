"""Kafka's default partitioner: which partition, and so which shard, a key is in."""

from struct import Struct

# Constants of murmur2 as Kafka's `Utils.murmur2` has them: not to be tuned.
_MURMUR2_SEED = 0x9747B28C
_MURMUR2_FACTOR = 0x5BD1E995
_MASK = 0xFFFFFFFF
_WORD = Struct("<I")


def shard_of(session_id: str, num_shards: int) -> int:
    """Return the shard of a session.

    What Kafka's default partitioner makes of its id as a record's key.

    Events without a session are in the shard of their user's id.
    """
    if num_shards == 1:
        return 0
    return (_murmur2(session_id.encode("utf-8", "surrogatepass")) & 0x7FFFFFFF) % num_shards


def _murmur2(data: bytes) -> int:
    """Return Kafka's 32-bit murmur2 hash (Appleby, public domain), as
    `DefaultPartitioner` uses it.
    """
    length = len(data)
    value = _MURMUR2_SEED ^ length
    whole = length & ~3
    for (word,) in _WORD.iter_unpack(data[:whole]):
        mixed = (word * _MURMUR2_FACTOR) & _MASK
        mixed = ((mixed ^ (mixed >> 24)) * _MURMUR2_FACTOR) & _MASK
        value = ((value * _MURMUR2_FACTOR) & _MASK) ^ mixed
    if length > whole:
        value = ((value ^ int.from_bytes(data[whole:], "little")) * _MURMUR2_FACTOR) & _MASK
    value = ((value ^ (value >> 13)) * _MURMUR2_FACTOR) & _MASK
    return value ^ (value >> 15)
