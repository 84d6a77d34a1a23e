"""A change feed in memory, and vectors that need no network."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from model.artifact.encoder import unit_rows
from model.fresh.pauses import Pause, no_pause
from model.fresh.result import RoundResult
from protos.text import text_key
from stream.events.types import CatalogItem
from stream.feed.changes import KeyedTexts, ShardChanges, WriterMark
from stream.feed.reader import NOT_KEPT, FeedRead

WRITER = "ab12"


def texts_by_key(*texts: str) -> KeyedTexts:
    """Return texts as a write names them."""
    return KeyedTexts(np.array([text_key(text) for text in texts], dtype=np.uint64), texts)


@dataclass(kw_only=True)
class MemoryFeed:
    """The feed of a store, as a test tells it.

    Attributes:
        written: every write, in the order of each shard.
        reflected_ms: what the stream says of the topics.
        writers: who writes each shard; a change of it is a rewind.
        starts: the oldest write that the feed still has, by shard.
        unkept: shards of which no feed is kept.
        most: writes that one read returns at most.
        error: what reading raises instead; None: nothing.
    """

    written: list[ShardChanges] = field(default_factory=list)
    reflected_ms: int = 0
    writers: dict[int, str] = field(default_factory=dict)
    starts: dict[int, int] = field(default_factory=dict)
    unkept: set[int] = field(default_factory=set)
    most: int = 1 << 30
    error: Exception | None = None

    def write(self, shard: int = 0, **columns: Any) -> ShardChanges:
        """Append a write of a shard, and return it."""
        number = 1 + sum(each.shard == shard for each in self.written)
        change = ShardChanges(shard=shard, sequence=number, **columns)
        self.written.append(change)
        return change

    def list_item(self, item: CatalogItem, **columns: Any) -> ShardChanges:
        """Append a write of one catalogue state."""
        catalog, names = {text_key(item.item_id): item}, texts_by_key(item.item_id)
        return self.write(catalog=catalog, item_names=names, **columns)

    def name_query(self, text: str, **columns: Any) -> ShardChanges:
        """Append a write that names a query."""
        return self.write(query_names=texts_by_key(text), **columns)

    def read(self, since: Mapping[int, WriterMark]) -> FeedRead:
        """Return what `stream.feed.reader.Feed.read` does."""
        if self.error is not None:
            raise self.error
        marks, gaps, changes = dict(since), dict[int, str](), list[ShardChanges]()
        reflected, rewound, has_more = dict[int, int](), False, False
        for shard in sorted({each.shard for each in self.written} | since.keys() or {0}):
            own = [each for each in self.written if each.shard == shard]
            writer = self.writers.get(shard, WRITER)
            mark = since.get(shard, WriterMark())
            if mark.writer not in ("", writer) and mark.sequence > 0:
                gaps[shard], rewound = "another writer went back behind it", True
                continue
            if shard in self.unkept:
                gaps[shard] = NOT_KEPT
                continue
            if mark.sequence + 1 < self.starts.get(shard, 1):
                gaps[shard] = "the log begins later"
                continue
            new = [each for each in own if each.sequence > mark.sequence][: self.most]
            changes += new
            if new:
                marks[shard] = WriterMark(writer, new[-1].sequence)
            is_end = marks.get(shard, WriterMark()).sequence >= len(own)
            has_more |= not is_end
            told = max((each.reflected_ms for each in new), default=0)
            reflected[shard] = self.reflected_ms if is_end else told
        return FeedRead(
            changes=changes,
            marks=marks,
            reflected=reflected,
            watermark_ms=max((each.event_ms for each in self.written), default=0),
            gaps=gaps,
            rewound=rewound,
            has_more=has_more,
        )

    def close(self) -> None:
        """Hold nothing."""


@dataclass(kw_only=True)
class NamedVectors:
    """Vectors that follow from names: every query that is named and every item that is
    listed gets one.

    Attributes:
        dim: length of the vectors.
        rounds: the changes of each round.
        cosine: what an audit finds.
        withheld: what each round withholds.
        carried: nodes that each of the next rounds carries over.
        poison: names whose vector is not finite.
        is_partial: whether clicks are not followed.
        error: what the next round raises; None: nothing.
        on_round: called in each round: it may take time.
        pauses: of a round after that, whether each is open.
    """

    dim: int
    rounds: list[Sequence[ShardChanges]] = field(default_factory=list)
    cosine: float = 1.0
    withheld: float = 0.0
    carried: list[int] = field(default_factory=list)
    poison: frozenset[str] = frozenset()
    is_partial: bool = False
    error: Exception | None = None
    on_round: Callable[[], object] = lambda: None
    pauses: Sequence[bool] = (True, False)

    def apply(
        self,
        changes: Sequence[ShardChanges],
        asked: Mapping[str, float] | None = None,
        pause: Pause = no_pause,
    ) -> RoundResult:
        """Return what `model.fresh.state.FreshState.apply` does."""
        del asked
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        self.rounds.append(changes)
        self.on_round()
        for is_open in self.pauses:
            pause(is_open=is_open)
        catalog = {key: item for each in changes for key, item in each.catalog.items()}
        listed = [item for item in catalog.values() if not item.deleted]
        gone = [item for item in catalog.values() if item.deleted]
        queries = [text for each in changes for text in each.query_names.values()]
        items = [item.item_id for item in listed]
        return RoundResult(
            item_ids=tuple(items),
            item_titles=tuple(item.title for item in listed),
            item_attributes=("",) * len(listed),
            item_shown=np.array([item.available for item in listed], dtype=np.bool_),
            item_catalog_ms=np.array([item.ts_ms for item in listed], dtype=np.int64),
            item_sessions=np.zeros(len(items), dtype=np.int64),
            item_vectors=self._vectors(items),
            query_texts=tuple(queries),
            query_clicks=("",) * len(queries),
            query_vectors=self._vectors(queries),
            gone_items=tuple(item.item_id for item in gone),
            gone_item_ms=np.array([item.ts_ms for item in gone], dtype=np.int64),
            gone_queries=np.zeros(0, dtype=np.uint64),
            recomputed=len(items) + len(queries),
            carried=self.carried.pop(0) if self.carried else 0,
            withheld=self.withheld,
            poisoned=0,
        )

    def apply_catalog(self, changes: Sequence[ShardChanges]) -> RoundResult:
        """Return what `model.fresh.state.FreshState.apply_catalog` does."""
        carried, self.carried = self.carried, []
        result = self.apply(changes)
        self.carried = carried
        return result

    def take_out(self, changes: Sequence[ShardChanges]) -> RoundResult:
        """Return what `model.fresh.state.FreshState.take_out` does."""
        return self.apply_catalog(changes)

    def audit(self, count: int) -> float:
        """Return what `model.fresh.state.FreshState.audit` does."""
        del count
        return self.cosine

    def _vectors(self, names: Sequence[str]) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
        rows = np.zeros((len(names), self.dim), dtype=np.float32)
        for row, name in enumerate(names):
            random = np.random.default_rng(zlib.crc32(name.encode()))
            rows[row] = np.nan if name in self.poison else random.standard_normal(self.dim)
        return unit_rows(rows) if len(names) else rows
