"""The kind byte of a key, which says what the entry is, and the sizes of rows.

Stored: never renumber.
"""

FORMAT_VERSION = 2  # of a shard's layout, docs/formats.md

# The kind byte of a key. Stored: never renumber.
META = b"\x00"
POSITION = b"\x01"
QUERY_NAME = b"\x02"
ITEM_NAME = b"\x03"
CATALOG = b"\x08"
SESSION = b"\x10"
BY_QUERY = b"\x11"
BY_ITEM = b"\x12"
USER = b"\x13"
DIRTY = b"\x14"
ERASED = b"\x15"
AUDIT = b"\x16"
FOLDED = b"\x17"
WINDOWS = b"\x18"
FOLDED_BY_ITEM = b"\x19"
QUERY_ID = b"\x1a"
WIDE_FACT = b"\x1b"
PURGED = b"\x1e"

FORMAT_KEY = META + b"format"
STATE_KEY = META + b"state"
WRITER_KEY = META + b"writer"
TOPIC_ID = META + b"topic:"

ROW_BYTES = 24  # three words of 64 bits
PAIR_BYTES = 16  # two words of 64 bits

# Facts, and users, of a session that is one entry: some 48 KiB, far over what a person
# does. Twice as many double what a batch that touches such a session writes.
WIDE_ROWS = 2048
"""A session that has more is wide: each of its facts and users is an entry of its own.

A crawler's session, or one whose id is "null", grows for ever, and what a batch adds to
it must not cost what is there.
"""
