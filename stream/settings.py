"""The settings of the stream room, with their units and bounds."""

from dataclasses import dataclass, field

from stream.actions import Action
from stream.errors import SettingsInvalid

DEFAULT_SESSION_GAP_SECONDS = 1800.0
"""The gap of stores that do not say which they were made with."""

KAFKA_CLIENTS = ("kafka-python", "confluent")

_MIN_HALF_LIFE_SECONDS = 3600.0
_MAX_ID_BYTES = (
    32 * 1024
)  # a cut session is named after its user, and a record has two bytes for that length
_MAX_HALF_LIFE_SECONDS = 100 * 365 * 86400.0
_MIN_SESSION_GAP_SECONDS = 1.0
_MAX_SESSION_GAP_SECONDS = 30 * 86400.0


def _default_action_weights() -> dict[str, float]:
    return {"click": 1.0, "add-to-cart": 2.0, "purchase": 4.0}


@dataclass(frozen=True, kw_only=True)
class StreamSettings:
    """Everything that can be set about reading events and keeping the graph.

    Raises:
        SettingsInvalid: a value is out of its bounds; the message names the key.
    """

    half_life_seconds: float = 30 * 86400.0
    """After this long a fact weighs half.

    Fixed when a store is made; one hour to a hundred years.
    """

    action_weights: dict[str, float] = field(default_factory=_default_action_weights)
    """What a new fact weighs, by action; a view never makes an edge.

    Applied when the graph is read.
    """

    num_shards: int = 1
    """Shards of a new store. With Kafka it must be the partition count of the topics.
    """

    min_sessions: int = 1
    """An edge counts for training once so many distinct sessions made it."""

    session_retention_seconds: float = 48 * 3600.0
    """An event older than the newest of its partition by more than this is quarantined
    as too_late.
    """

    session_gap_seconds: float = DEFAULT_SESSION_GAP_SECONDS
    """Events without a session id are cut into sessions where their user was inactive
    for longer than this.
    Fixed when a store is made; one second to thirty days."""

    erasure_horizon_seconds: float = 0.0
    """Sessions that ended longer ago are folded into exact sums and can no longer be
    erased alone; events older than this are too_late, history too. 0: all is kept. At
    least 2 x session_retention_seconds, and so
    much that no session lasts longer than this less session_retention_seconds."""

    batch_records: int = 1000
    """Records taken from the source at once."""

    batch_events: int = 32_000
    """Events written at once at most, about.

    A record may hold many, and is never split.
    """

    batch_wait_ms: int = 100
    """How long a record may wait for others to be written with it, where more keep
    coming.
    """

    sync_every_ms: int = 200
    """How much a power cut can take: the log is forced to disk this often.

    0: after every batch.
    """

    memtable_bytes: int = 32 * 1024 * 1024
    """RocksDB's write buffer of a shard."""

    block_cache_bytes: int = 256 * 1024 * 1024
    """RocksDB's read cache, shared by all shards of a process.

    Their write buffers count towards it.
    """

    write_buffers_bytes: int = 128 * 1024 * 1024
    """RocksDB's write buffers of all shards of a process together.

    Over this they are written out.
    """

    max_wal_bytes: int = 64 * 1024 * 1024
    """Write-ahead log of a shard that a restart may have to replay."""

    takeover_wait_seconds: float = 5.0
    """How long to wait for a process that has a shard.

    Then it is busy, or taken over if Kafka says so.
    """

    checkpoints_url: str = ""
    """Folder or fsspec URL of the shards' checkpoints, from which another machine goes
    on. Empty: none.
    """

    checkpoint_every_seconds: float = 300.0
    """How often a shard that changed is put there.

    What came since comes from Kafka again.
    """

    snapshot_timeout_seconds: float = 60.0
    """How long to wait for the process that holds the store to answer a snapshot
    request.
    """

    max_record_bytes: int = 1024 * 1024
    """Longer records are quarantined unread."""

    max_field_bytes: int = 1024
    """Longest session, user or item id, in UTF-8."""

    max_query_bytes: int = 512
    """Longest query, in UTF-8, before and after it is normalised."""

    max_text_bytes: int = 64 * 1024
    """Longest catalogue title, text or attribute value, in UTF-8."""

    max_future_seconds: float = 3600.0
    """How far ahead of the clock an event time may be before it is called absurd."""

    follow_poll_seconds: float = 0.2
    """How often a followed file is looked at."""

    poll_seconds: float = 0.5
    """How long one poll of Kafka may wait, and so how soon a stop or a snapshot request
    is seen.
    """

    clicks_topic: str = "freshet.clicks"
    """Topic of actions that came from a search, keyed by session id.

    Empty: not read; so for the next two.
    """

    sessions_topic: str = "freshet.sessions"
    """Topic of actions in a session without a search, keyed by session id."""

    catalog_topic: str = "freshet.catalog"
    """Compacted topic of items, keyed by item id."""

    erasures_topic: str = "freshet.erasures"
    """Topic of users, sessions and items to forget.

    It may be missing; every shard reads all of it.
    """

    quarantine_topic: str = "freshet.quarantine"
    """Topic that rejected records go to."""

    group_id: str = "freshet"
    """Kafka consumer group. All processes of a group must read the same topics."""

    worker_id: str = ""
    """Name of this process in the group, its own.

    It has its partitions back when it is up again within `session_timeout_seconds`.
    Empty: none, its partitions are given away when it ends.
    """

    kafka_client: str = "kafka-python"
    """Library that consumes: kafka-python, or confluent, which is an extra and needs
    less CPU.
    """

    bootstrap_timeout_seconds: float = 30.0
    """How long to wait at the start for a broker, and for the topics to exist."""

    session_timeout_seconds: float = 10.0
    """After this silence the consumer group gives a worker's partitions away."""

    commit_every_seconds: float = 5.0
    """How often offsets are committed to Kafka.

    A courtesy to lag monitors, the store's positions count.
    """

    def __post_init__(self) -> None:
        self._check_weights()
        if self.kafka_client not in KAFKA_CLIENTS:
            raise SettingsInvalid(
                f"stream.kafka_client is {self.kafka_client!r}; it must be "
                f"{' or '.join(KAFKA_CLIENTS)}"
            )
        _check_bounds(
            "half_life_seconds",
            self.half_life_seconds,
            _MIN_HALF_LIFE_SECONDS,
            _MAX_HALF_LIFE_SECONDS,
        )
        _check_bounds("num_shards", self.num_shards, 1, 9999)
        _check_bounds("min_sessions", self.min_sessions, 1, 1_000_000)
        _check_bounds(
            "session_retention_seconds", self.session_retention_seconds, 60.0, 100 * 365 * 86400.0
        )
        _check_bounds(
            "session_gap_seconds",
            self.session_gap_seconds,
            _MIN_SESSION_GAP_SECONDS,
            _MAX_SESSION_GAP_SECONDS,
        )
        self._check_fold_age()
        _check_bounds("batch_records", self.batch_records, 1, 100_000)
        _check_bounds("batch_events", self.batch_events, 1, 1_000_000)
        _check_bounds("batch_wait_ms", self.batch_wait_ms, 0, 60_000)
        _check_bounds("sync_every_ms", self.sync_every_ms, 0, 60_000)
        for name in (
            "memtable_bytes",
            "block_cache_bytes",
            "write_buffers_bytes",
            "max_wal_bytes",
            "max_record_bytes",
        ):
            _check_bounds(name, getattr(self, name), 64 * 1024, 64 * 1024**3)
        _check_bounds("max_field_bytes", self.max_field_bytes, 16, _MAX_ID_BYTES)
        for name in ("max_query_bytes", "max_text_bytes"):
            _check_bounds(name, getattr(self, name), 16, 16 * 1024**2)
        for name in (
            "snapshot_timeout_seconds",
            "bootstrap_timeout_seconds",
            "commit_every_seconds",
            "checkpoint_every_seconds",
        ):
            _check_bounds(name, getattr(self, name), 0.01, 86400.0)
        _check_bounds("takeover_wait_seconds", self.takeover_wait_seconds, 0.0, 3600.0)
        _check_bounds("session_timeout_seconds", self.session_timeout_seconds, 1.0, 86400.0)
        for name in ("follow_poll_seconds", "poll_seconds"):
            _check_bounds(name, getattr(self, name), 0.001, 3600.0)
        _check_bounds("max_future_seconds", self.max_future_seconds, 0.0, 10 * 365 * 86400.0)

    def _check_weights(self) -> None:
        known = [action.label for action in Action if action is not Action.VIEW]
        unknown = sorted(set(self.action_weights) - set(known))
        if unknown:
            raise SettingsInvalid(
                f"stream.action_weights has the unknown action {unknown[0]!r}; known are "
                f"{', '.join(known)}"
            )
        for label, weight in self.action_weights.items():
            _check_bounds(f"action_weights.{label}", weight, 0.0, 1e6)

    def _check_fold_age(self) -> None:
        _check_bounds(
            "erasure_horizon_seconds", self.erasure_horizon_seconds, 0.0, 100 * 365 * 86400.0
        )
        if 0.0 < self.erasure_horizon_seconds < 2 * self.session_retention_seconds:
            raise SettingsInvalid(
                f"stream.erasure_horizon_seconds is {self.erasure_horizon_seconds}; it must be "
                "0 or at least "
                f"{2 * self.session_retention_seconds}, twice stream.session_retention_seconds"
            )

    @property
    def fold_age_ms(self) -> int:
        """The fold age as the graph uses it: whole milliseconds.

        0: there is none.
        """
        return round(self.erasure_horizon_seconds * 1000)

    @property
    def half_life_ms(self) -> int:
        """The half-life as the graph uses it: whole milliseconds."""
        return round(self.half_life_seconds * 1000)

    @property
    def session_gap_ms(self) -> int:
        """The gap as sessions are cut with it: whole milliseconds."""
        return round(self.session_gap_seconds * 1000)

    def weight_of(self, action: Action) -> float:
        """Return what one new fact of an action weighs.

        An action that is not listed weighs nothing.
        """
        return float(self.action_weights.get(action.label, 0.0))


def _check_bounds(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise SettingsInvalid(f"stream.{name} is {value}; it must be between {low} and {high}")
