"""The settings of the stream package, with their units and bounds."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType

from stream.actions import Action
from stream.errors import SettingsInvalid
from stream.mapping.mappings import mappings_of

SECRET: Mapping[str, bool] = MappingProxyType({"secret": True})
"""Metadata of a field whose value is shown to nobody."""

DEFAULT_SESSION_GAP_SECONDS = 1800.0
"""The gap of stores that do not say which they were made with."""

KAFKA_CLIENTS = ("kafka-python", "confluent")
RECREATED_TOPIC_POLICIES = ("read", "stop")

SECURITY_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
SASL_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")
TOKEN_SCHEMES = ("https", "http", "file")
GROUP_PROTOCOLS = ("classic", "consumer")
HOSTNAME_CHECKS = ("https", "none")
# Without a user: whoever reads the settings in force would read the password.
_REGISTRY_URL = re.compile(r"https?://[^\s/@?#,]+(/[^\s@?#,]*)?")

# Bytes of an id. A cut session is named after its user, and its entry has two bytes for
# the length of that name: twice as much would not fit.
_MAX_ID_BYTES = 32 * 1024
# Seconds, one hour: a folded sum grows by a bit for each half-life between its facts,
# and two bytes count its bytes, which is enough for 60 years. Half as much halves them.
# The upper bound, 100 years, is next to no decay.
_MIN_HALF_LIFE_SECONDS = 3600.0
_MAX_HALF_LIFE_SECONDS = 100 * 365 * 86400.0  # seconds; see above
# Seconds, 30 days; chosen by hand: who has to erase has to within a month.
_MAX_PURGE_SECONDS = 30 * 86400.0
# Seconds; chosen by hand: below a second every event is a session, above a month
# a session is a user.
_MIN_SESSION_GAP_SECONDS = 1.0
_MAX_SESSION_GAP_SECONDS = 30 * 86400.0  # seconds; see above


def _default_action_weights() -> dict[str, float]:
    return {"click": 1.0, "add-to-cart": 2.0, "purchase": 4.0}


@dataclass(frozen=True, kw_only=True)
class StreamSettings:
    """Everything that can be set about reading events and keeping the graph.

    Raises:
        SettingsInvalid: a value is out of its bounds; the message names the key.
    """

    # 30 days, chosen by hand: training does not read it, only dumps and edge weights
    # do. Twice as long lets old facts weigh more.
    half_life_seconds: float = 30 * 86400.0
    """Half-life of a fact's weight, in seconds.

    Fixed when a store is created; one hour to 100 years.
    """

    # Chosen by hand; used where the half-life is.
    action_weights: dict[str, float] = field(default_factory=_default_action_weights)
    """What a new fact weighs, by action; a view never makes an edge.

    Applied when the graph is read.
    """

    # One process can write several shards, and several processes need several.
    num_shards: int = 1
    """Shards of a new store that files are read into.

    With Kafka the partition count of the topics decides.
    """

    # Sessions; 1 filters nothing. At 2, edges that one session made are not trained on.
    min_sessions: int = 1
    """Fewest distinct sessions of an edge that is trained on."""

    # Two days, chosen by hand; not tuned. Twice as long accepts later events, and the
    # fold age must be at least twice this.
    session_retention_seconds: float = 48 * 3600.0
    """An event older than one before it in its partition by more than this, in seconds,
    is late: quarantined as too_late.
    """

    session_gap_seconds: float = DEFAULT_SESSION_GAP_SECONDS
    """Longest inactivity, in seconds, within a session of events without a session id.

    Fixed when a store is created; one second to 30 days.
    """

    # Seven days, chosen by hand: a purchase a week after its search is still of it, as
    # shops credit clicks. Twice as long holds twice as many texts, some 0.3 kB each.
    query_join_seconds: float = 7 * 86400.0
    """An action that names its search by a query id gets the search's text if their
    times are at most this far apart, in seconds.

    Both are held for each other this long, and session_retention_seconds longer, by the
    clock.
    """

    # 0, so that no store folds, and loses erasing by session, unless its owner asks.
    erasure_horizon_seconds: float = 0.0
    """Sessions that ended longer ago are folded into exact sums, and can no longer be
    erased alone; older events are too_late, in history files too. 0: no session is
    folded.

    At least 2 x session_retention_seconds, and more than the longest session plus
    session_retention_seconds.
    """

    # Records; chosen by hand. Twice as many: fewer polls, each with twice the memory.
    batch_records: int = 1000
    """Most records that one poll of the source returns."""

    # Events; chosen by hand: a write then merges tens of thousands at once. Twice as
    # many apply more per CPU second, and each write takes longer and more memory.
    batch_events: int = 32_000
    """Events of a micro-batch, about: one is written once it has as many.

    A record may hold many events, and is never split.
    """

    # Milliseconds; chosen by hand. Twice as long: fewer, larger writes at a low rate,
    # and a graph that is 100 ms older.
    batch_wait_ms: int = 100
    """Longest time, in milliseconds, that a record waits for its micro-
    batch to fill; ten times as long while each poll returns as many as it may.
    """

    # Milliseconds; chosen by hand. Twice as long halves the fsyncs, and a power cut
    # loses 400 ms of writes, which Kafka delivers again.
    sync_every_ms: int = 200
    """How often the write-ahead log is synced to disk, in milliseconds: what a power
    cut can lose. 0: after every write.
    """

    # Bytes; chosen by hand. Twice as much: fewer flushes, 32 MiB more memory a shard.
    memtable_bytes: int = 32 * 1024 * 1024
    """RocksDB's write buffer of a shard, in bytes."""

    # Bytes; chosen by hand. Twice as much: fewer reads from disk of a large graph.
    block_cache_bytes: int = 256 * 1024 * 1024
    """RocksDB's read cache, in bytes, shared by all shards of a process.

    Their write buffers count towards it.
    """

    # Bytes, four memtables. Twice as much: fewer flushes with many shards.
    write_buffers_bytes: int = 128 * 1024 * 1024
    """RocksDB's write buffers of all shards of a process together, in bytes; a larger
    total is flushed.
    """

    # Bytes, two memtables. Twice as much doubles what a restart replays.
    max_wal_bytes: int = 64 * 1024 * 1024
    """Largest write-ahead log of a shard, in bytes; a restart replays at most this
    much.
    """

    # Seconds, half the session timeout. Twice as long delays a takeover after a crash
    # by 5 s more.
    takeover_wait_seconds: float = 5.0
    """How long to wait, in seconds, for another process to release a shard.

    After that opening fails, or takes the shard over if the consumer group assigned it
    to this process.
    """

    checkpoints_url: str = ""
    """Folder or fsspec URL of the shards' checkpoints, from which another machine
    restores them. Empty: no checkpoints.
    """

    # Five minutes, chosen by hand. Twice as long halves the uploads, and a restored
    # shard reads ten minutes from Kafka again.
    checkpoint_every_seconds: float = 300.0
    """How often a shard that changed is checkpointed, in seconds.

    A restored shard reads later records from Kafka again.
    """

    backups_url: str = ""
    """Folder or fsspec URL of the store's backups, for `freshet backup` and `freshet
    restore` where they are given none, and where `freshet erase --store` notes what it
    erases. Empty: none.
    """

    # Bytes, chosen by hand: some two million events. Twice as many let whoever follows
    # the graph be away twice as long before it needs a new snapshot.
    feed_bytes: int = 256 * 1024 * 1024
    """What the change feed of a shard keeps on disk, in bytes; the oldest changes go
    first. 0: no feed is kept, and changes reach answers with the next generation.
    """

    # An hour, chosen by hand: far below what any law asks for, and a shard's files are
    # rewritten at most so often. Twice as long halves that.
    purge_after_seconds: float = 3600.0
    """How long after an erasure, in seconds, the files of a shard are rewritten so that
    its bytes leave them, and then its checkpoints.

    Erasures of that time are purged together.
    """

    # Seconds; a snapshot of 10 million edges takes under one, so only a stalled process
    # takes as long. Twice as long reports it a minute later.
    snapshot_timeout_seconds: float = 60.0
    """How long to wait, in seconds, for the process that holds the store to answer a
    snapshot request.
    """

    # Bytes; what a Kafka broker takes by default. Twice as much needs brokers set so.
    max_record_bytes: int = 1024 * 1024
    """Largest record, in bytes; larger ones are quarantined without being decoded."""

    # Bytes: events compress 5 to 20 times, and a broker takes batches of 1 MiB.
    # Twice as much lets one batch take some 200 MiB more memory while it is read.
    max_batch_bytes: int = 64 * 1024 * 1024
    """What a compressed batch of Kafka may unpack to, in bytes; one that is more is
    passed over, and its records counted.

    With the client confluent it holds for zstd alone, and there 100 MB is the least.
    """

    # Bytes; chosen by hand, far over any real id. Twice as much lets garbage take more.
    max_field_bytes: int = 1024
    """Longest session, user or item id, in bytes of UTF-8."""

    # Bytes; chosen by hand. Twice as much lets pasted texts in as queries.
    max_query_bytes: int = 512
    """Longest query, in bytes of UTF-8, before and after it is normalised."""

    # Bytes; chosen by hand. Twice as much doubles the largest catalogue entry.
    max_text_bytes: int = 64 * 1024
    """Longest catalogue title, text or attribute value, in bytes of UTF-8."""

    # One hour, a clock in the next time zone. Twice as long lets one wrong clock move
    # the watermark, from which lateness is measured, two hours ahead.
    max_future_seconds: float = 3600.0
    """How far ahead an event time may be, in seconds, of this machine's clock or of the
    time that records carry in Kafka, whichever is later; later ones are absurd.
    """

    # Seconds; chosen by hand. Twice as long finds new lines 0.2 s later.
    follow_poll_seconds: float = 0.2
    """Poll interval of followed files, in seconds."""

    # Seconds; chosen by hand. Twice as long notices a stop up to a second late.
    poll_seconds: float = 0.5
    """Longest wait of one poll of Kafka, in seconds, and so the longest delay until a
    stop or a snapshot request is noticed.
    """

    mapping: Mapping[str, object] = field(default_factory=dict)
    """Where the fields are of JSON that has a form of its own: tables `event` and
    `item`, of paths by the names of Freshet's fields; in the environment as JSON.
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
    """Topic of erasure requests.

    Optional; every shard reads all of it.
    """

    quarantine_topic: str = "freshet.quarantine"
    """Topic that rejected records go to."""

    # Seconds; chosen by hand, a few small requests each time. Twice as long finds new
    # partitions, and topics that were made again, 15 s later.
    topic_check_seconds: float = 15.0
    """How often the topics are looked at, in seconds: for more partitions, for topics
    that were deleted and made again, and for shards that no process has.
    """

    on_topic_recreated: str = "read"
    """What happens when a topic is not the one that the store has read: it was deleted
    and made again, ends before the stored offset, or is another cluster's.

    read: it is read from its start, which counts nothing twice. stop: the stream ends
    with an error that names the topic.
    """

    group_id: str = "freshet"
    """Kafka consumer group. All processes of a group must read the same topics."""

    worker_id: str = ""
    """Static member name of this process, unique in its group.

    A restart within `session_timeout_seconds` keeps its partitions. Empty: a dynamic
    member, whose partitions are reassigned when it ends.
    """

    group_protocol: str = "classic"
    """How the group shares partitions out: classic, or consumer (KIP-848: the brokers
    do it, from Kafka 4.0 on), which needs the client confluent.

    With consumer the broker's `group.consumer.session.timeout.ms` counts instead of
    `session_timeout_seconds`.
    """

    kafka_client: str = "kafka-python"
    """Library that consumes: kafka-python, or confluent, which is an extra and needs
    less CPU.
    """

    security_protocol: str = "PLAINTEXT"
    """How the broker is spoken to: PLAINTEXT, SSL, SASL_PLAINTEXT (a password in the
    clear) or SASL_SSL. This and the next keys are named as in Kafka, and count for all
    that Freshet does there.
    """

    sasl_mechanism: str = ""
    """How the user is proven: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, or OAUTHBEARER with
    tokens.
    """

    sasl_username: str = ""
    """User, or the key of a managed Kafka."""

    sasl_password: str = field(default="", repr=False, metadata=SECRET)
    """Password, or the secret of a managed Kafka; best from the environment."""

    sasl_password_file: str = ""
    """File with the password instead; a line end behind it does not count."""

    sasl_oauthbearer_token_endpoint_url: str = ""
    """Where tokens for OAUTHBEARER come from: the token endpoint of an OpenID
    provider, asked with client credentials, or file:///PATH of a token that something
    else renews.
    """

    sasl_oauthbearer_client_id: str = ""
    """This client, as the OpenID provider knows it."""

    sasl_oauthbearer_client_secret: str = field(default="", repr=False, metadata=SECRET)
    """Its secret; best from the environment."""

    sasl_oauthbearer_client_secret_file: str = ""
    """File with the secret instead; a line end behind it does not count."""

    sasl_oauthbearer_scope: str = ""
    """Scope to ask the OpenID provider for."""

    sasl_oauthbearer_extensions: str = ""
    """What is told to the broker beside the token: name=value, several with commas.

    For Confluent Cloud logicalCluster and identityPoolId.
    """

    https_ca_location: str = ""
    """PEM file of certificates that the OpenID provider's is signed by. Empty: those
    that the system trusts.
    """

    ssl_ca_location: str = ""
    """PEM file of certificates that the broker's is signed by. Empty: those that the
    system trusts.
    """

    ssl_certificate_location: str = ""
    """PEM file of this client's own certificate, where the broker wants one."""

    ssl_key_location: str = ""
    """PEM file of its private key. Empty: the key is in the certificate's file."""

    ssl_key_password: str = field(default="", repr=False, metadata=SECRET)
    """Password of the private key, if it has one; best from the environment."""

    ssl_endpoint_identification_algorithm: str = "https"
    """https: the broker's certificate must name its host. none: any that is trusted."""

    schema_registry_url: str = ""
    """Where the schema registry answers that framed the records, with Confluent's API,
    as https://HOST:PORT. Empty: there is none.
    """

    schema_registry_username: str = ""
    """User, or the key of a managed registry. Empty: it asks for none."""

    schema_registry_password: str = field(default="", repr=False, metadata=SECRET)
    """Password, or the secret of a managed registry; best from the environment."""

    schema_registry_password_file: str = ""
    """File with the password instead; a line end behind it does not count."""

    schema_registry_ca_location: str = ""
    """PEM file of certificates that the registry's is signed by. Empty: those of the
    usual authorities.
    """

    # Seconds; chosen by hand for a broker that starts together with the worker. Twice
    # as long reports a wrong address 30 s later.
    bootstrap_timeout_seconds: float = 30.0
    """How long to wait at the start, in seconds, for a broker and for the topics to
    exist.
    """

    # Seconds; Kafka's default before 3.0. Twice as long leaves a killed worker's
    # partitions unread twice as long, and tolerates longer pauses.
    session_timeout_seconds: float = 10.0
    """Time without heartbeats, in seconds, after which the consumer group reassigns a
    worker's partitions.
    """

    # Seconds; Kafka's default of auto.commit.interval.ms. Twice as long shows lag
    # monitors offsets of 10 s ago.
    commit_every_seconds: float = 5.0
    """How often offsets are committed to Kafka, in seconds.

    For lag monitoring only: the offsets in the store are authoritative.
    """

    def __post_init__(self) -> None:
        # The bounds catch typing errors, a unit mistaken or a zero too many: chosen by
        # hand, far beyond any use. 9999 shards are what `shard-0000` can name.
        self._check_weights()
        mappings_of(self.mapping)
        _check_choice("kafka_client", self.kafka_client, KAFKA_CLIENTS)
        _check_choice("group_protocol", self.group_protocol, GROUP_PROTOCOLS)
        if self.group_protocol == "consumer" and self.kafka_client != "confluent":
            raise SettingsInvalid(
                f"stream.group_protocol is consumer, which {self.kafka_client} does not speak; "
                "set stream.kafka_client to confluent"
            )
        _check_choice("on_topic_recreated", self.on_topic_recreated, RECREATED_TOPIC_POLICIES)
        self._check_security()
        self._check_registry()
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
        _check_bounds("query_join_seconds", self.query_join_seconds, 1.0, 365 * 86400.0)
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
        if self.feed_bytes:
            _check_bounds("feed_bytes", self.feed_bytes, 64 * 1024, 64 * 1024**3)
        # 2 GB are what both clients can count to.
        _check_bounds("max_batch_bytes", self.max_batch_bytes, 64 * 1024, 2_000_000_000)
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
        _check_bounds("purge_after_seconds", self.purge_after_seconds, 0.0, _MAX_PURGE_SECONDS)
        _check_bounds("session_timeout_seconds", self.session_timeout_seconds, 1.0, 86400.0)
        _check_bounds("topic_check_seconds", self.topic_check_seconds, 0.1, 3600.0)
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

    def _check_security(self) -> None:
        """Check what Kafka's own clients find out late, or not at all."""
        _check_choice("security_protocol", self.security_protocol, SECURITY_PROTOCOLS)
        _check_choice(
            "ssl_endpoint_identification_algorithm",
            self.ssl_endpoint_identification_algorithm,
            HOSTNAME_CHECKS,
        )
        if self.uses_sasl:
            _check_choice("sasl_mechanism", self.sasl_mechanism, SASL_MECHANISMS)
            self._check_tokens() if self.uses_tokens else self._check_password()
        self._check_unused("sasl_", "SASL_SSL", is_used=self.uses_sasl)
        self._check_unused("https_", "SASL_SSL", is_used=self.uses_sasl)
        self._check_unused("ssl_", "SSL or SASL_SSL", is_used=self.uses_tls)
        has_key = self.ssl_key_location or self.ssl_key_password
        if has_key and not self.ssl_certificate_location:
            raise SettingsInvalid(
                "a private key is set without stream.ssl_certificate_location; name the "
                "certificate that it belongs to"
            )

    def _check_registry(self) -> None:
        url, prefix = self.schema_registry_url, "stream.schema_registry"
        others = ("username", "password", "password_file", "ca_location")
        given = [name for name in others if getattr(self, f"schema_registry_{name}")]
        if given and not url:
            raise SettingsInvalid(f"{prefix}_{given[0]} is set, but {prefix}_url is not")
        if url and not _REGISTRY_URL.fullmatch(url):
            raise SettingsInvalid(
                f"{prefix}_url must be http://HOST:PORT or https://HOST:PORT, with a path or "
                f"without, and with no password in it: that is {prefix}_password"
            )
        has_password = self.schema_registry_password or self.schema_registry_password_file
        if bool(has_password) != bool(self.schema_registry_username):
            raise SettingsInvalid(
                f"{prefix}_username goes with {prefix}_password or {prefix}_password_file"
            )
        if self.schema_registry_password and self.schema_registry_password_file:
            raise SettingsInvalid(f"{prefix}_password and {prefix}_password_file: keep one")
        if self.schema_registry_ca_location and not url.startswith("https:"):
            raise SettingsInvalid(f"{prefix}_ca_location is set, but {prefix}_url is not https://")

    def _check_password(self) -> None:
        for name in _names_set(self, "sasl_oauthbearer_", "https_ca_location"):
            raise SettingsInvalid(
                f"stream.{name} is set, but stream.sasl_mechanism is {self.sasl_mechanism}, "
                "which has no use for it; set that to OAUTHBEARER"
            )
        if not self.sasl_username or not (self.sasl_password or self.sasl_password_file):
            raise SettingsInvalid(
                f"stream.security_protocol is {self.security_protocol}, which needs "
                "stream.sasl_username and stream.sasl_password or stream.sasl_password_file"
            )
        if self.sasl_password and self.sasl_password_file:
            raise SettingsInvalid(
                "stream.sasl_password and stream.sasl_password_file are both set; keep one"
            )

    def _check_tokens(self) -> None:
        for name in _names_set(self, "sasl_username", "sasl_password"):
            raise SettingsInvalid(
                f"stream.{name} is set, but stream.sasl_mechanism is OAUTHBEARER, which has no "
                "use for it; remove it, or name another mechanism"
            )
        url = self.sasl_oauthbearer_token_endpoint_url
        scheme, _, rest = url.partition("://")
        if scheme not in TOKEN_SCHEMES or not rest or not rest.isprintable() or " " in rest:
            raise SettingsInvalid(
                f"stream.sasl_oauthbearer_token_endpoint_url is {url!r}; OAUTHBEARER needs "
                "https://HOST/PATH of an OpenID provider's token endpoint, or file:///PATH of a "
                "token"
            )
        secrets = [self.sasl_oauthbearer_client_secret, self.sasl_oauthbearer_client_secret_file]
        if all(secrets):
            raise SettingsInvalid(
                "stream.sasl_oauthbearer_client_secret and "
                "stream.sasl_oauthbearer_client_secret_file are both set; keep one"
            )
        if scheme != "file" and not (self.sasl_oauthbearer_client_id and any(secrets)):
            raise SettingsInvalid(
                f"stream.sasl_oauthbearer_token_endpoint_url is {url}, which needs "
                "stream.sasl_oauthbearer_client_id and stream.sasl_oauthbearer_client_secret or "
                "stream.sasl_oauthbearer_client_secret_file"
            )
        for pair in filter(None, self.sasl_oauthbearer_extensions.split(",")):
            name, _, value = pair.partition("=")
            if not name.strip().isalpha() or not value.isprintable() or name.strip() == "auth":
                raise SettingsInvalid(
                    f"stream.sasl_oauthbearer_extensions has {pair!r}; it must be name=value with "
                    "a name of letters, several with commas"
                )

    def _check_unused(self, prefix: str, better: str, *, is_used: bool) -> None:
        for each in fields(self):
            name, value = each.name, getattr(self, each.name)
            if name.startswith(prefix) and value != each.default and not is_used:
                raise SettingsInvalid(
                    f"stream.{name} is set, but stream.security_protocol is "
                    f"{self.security_protocol}, which has no use for it; set that to {better}"
                )

    @property
    def uses_sasl(self) -> bool:
        """Whether the broker wants a user and a password, or a token."""
        return self.security_protocol.startswith("SASL_")

    @property
    def uses_tokens(self) -> bool:
        """Whether the broker wants a token."""
        return self.uses_sasl and self.sasl_mechanism == "OAUTHBEARER"

    @property
    def uses_tls(self) -> bool:
        """Whether what goes to the broker and back is encrypted."""
        return self.security_protocol.endswith("SSL")

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
    def query_join_ms(self) -> int:
        """How far apart a search and an action that names it may be: whole
        milliseconds.
        """
        return round(self.query_join_seconds * 1000)

    @property
    def query_keep_ms(self) -> int:
        """How long both are held for each other: whole milliseconds."""
        return self.query_join_ms + round(self.session_retention_seconds * 1000)

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


def _names_set(settings: "StreamSettings", *prefixes: str) -> list[str]:
    """Return the keys with these beginnings that have not their default."""
    return [
        each.name
        for each in fields(settings)
        if each.name.startswith(prefixes) and getattr(settings, each.name) != each.default
    ]


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise SettingsInvalid(f"stream.{name} is {value!r}; it must be {' or '.join(choices)}")


def _check_bounds(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise SettingsInvalid(f"stream.{name} is {value}; it must be between {low} and {high}")
