"""The change feed: what each write of a shard changed, in files beside the store."""

from stream.feed.changes import (
    EdgeChanges,
    SessionChanges,
    ShardChanges,
    WriterMark,
)
from stream.feed.reader import Feed, FeedRead, open_feed

__all__ = [
    "EdgeChanges",
    "Feed",
    "FeedRead",
    "SessionChanges",
    "ShardChanges",
    "WriterMark",
    "open_feed",
]
