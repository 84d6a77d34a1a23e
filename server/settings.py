"""The server's settings, checked when they are made."""

from dataclasses import dataclass, fields

from model.artifact.private_files import HAS_PRIVATE_FILES
from server.errors import SettingsInvalid
from server.listening.addresses import split_address

# More than any machine has cores for. Twice as many take 50 GB before the first answer,
# and a slip of a few digits took the machine.
_MOST_WORKERS = 256
_MOST_THREADS = 1024
_MOST_COUNT = (1 << 31) - 1  # what gRPC and the system count in
# 30 days: a unit mistaken, or a zero too many. Beyond centuries a thread that is to
# wait for so long ends with an error instead.
_MOST_SECONDS = 30 * 86_400.0


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Settings of `freshet serve`.

    Raises:
        SettingsInvalid: a value cannot work; the message names the setting.
    """

    listen: str = "127.0.0.1:50051"
    """Where gRPC is served, HOST:PORT; port 0 takes any free port."""

    http_address: str = ""
    """Where the same methods are served as JSON over HTTP, HOST:PORT; port 0 takes any
    free port; empty: nowhere.
    """

    metrics: str = "127.0.0.1:9103"
    """Where Prometheus finds the metrics, HOST:PORT."""

    # A first page of results. Twice as many cost little more: titles and ids.
    default_k: int = 10
    """Items that an answer has when the request sets no `k`."""

    # Some 11 ms of a core in Annoy at 100,000 items. Twice as many: twice that, which
    # other requests wait for.
    max_k: int = 1000
    """Largest `k` of a request."""

    # A page of carousels, or a file in a few hundred calls: some 50 ms of a core at
    # 0.5 ms each. Twice as many keep a thread for twice as long.
    max_batch: int = 100
    """Requests that one `RetrieveBatch` may have."""

    # Ten of the largest single answers, 1 MB with titles. Twice as many: twice that,
    # and twice the time of a thread.
    max_batch_items: int = 10_000
    """Items that the requests of one `RetrieveBatch` may ask for together."""

    # Twice the bytes that the stream takes of a query (`stream.max_query_bytes`): no
    # longer one was ever learned.
    max_query_chars: int = 1024
    """Longest query that is accepted, in characters as typed and once normalised."""

    # One is enough for most; a second core answers nearly twice as many. More than
    # there are cores take turns, each with some 100 MB of its own.
    workers: int = 1
    """Processes that answer at one address, and share the generation's memory; another
    looks after them. As many as there are cores keep to one each. Linux only.
    """

    # The cores of the smallest machine. More than there are cores wait for each other.
    num_threads: int = 2
    """Threads that answer requests; only their index searches run in parallel. A short
    one that finds nothing else at work needs none.
    """

    # Half of the second that an impatient caller waits, and twice the pause of a swap
    # on a busy machine. Twice as long: a burst is answered too late for such a caller.
    wait_seconds: float = 0.5
    """Longest wait of a call for a thread; one that would wait for longer ends at once
    with RESOURCE_EXHAUSTED. A fifth of it while calls have been waiting without a
    pause.
    """

    # A message is on its way when its call is. Twice as long keeps calls that send none
    # for twice as long.
    receive_seconds: float = 5.0
    """Longest wait for the message of a call, whatever deadline it has."""

    # The deadline of calls that bring none, and the end of answers that nobody reads.
    # Twice as long keeps a dead client's calls for twice as long.
    call_seconds: float = 30.0
    """Longest time that a call is open; watches of health are held on."""

    # Half a second of calls of a busy client. Twice as many let one client hold twice
    # as much.
    max_calls_per_connection: int = 256
    """Calls that one connection may have open; further ones wait in their client (at a
    new connection, which does not know the number yet, they end with UNAVAILABLE).
    """

    # Some 50 kB each: 200 MB. Twice as many: twice that.
    max_connections: int = 4096
    """Connections that may be open; further ones are closed."""

    # Long enough for a client that pauses, short enough for one that is gone. Twice as
    # long keeps idle connections for twice as long.
    idle_connection_seconds: float = 300.0
    """A connection without calls is closed after so long; its client opens another."""

    # So that clients spread over servers that were added. Twice as long: they take
    # twice as long to.
    connection_age_seconds: float = 1800.0
    """A connection is closed after so long, once its calls have ended."""

    # A client that watches health stops sending within a round trip. Twice as long
    # delays each stop by that.
    lame_duck_seconds: float = 1.0
    """Seconds of a stop during which calls are still answered, while health says
    NOT_SERVING.
    """

    reflection: bool = True
    """Whether `grpcurl` and the like may ask what methods there are."""

    tls_cert: str = ""
    """PEM file with the server's certificate and those that signed it; empty: without
    TLS. It is read again when it changes, for new connections.
    """

    tls_key: str = ""
    """PEM file with the certificate's private key."""

    tls_client_ca: str = ""
    """PEM file with what signed the certificates of callers (mutual TLS); empty: they
    need none.
    """

    tokens: str = ""
    """File with the tokens that callers must have, a line each (`freshet token NAME`);
    empty: they need none. It is read again when it changes.
    """

    # Off: behind a balancer every caller has its address.
    caller_calls_per_second: float = 0.0
    """Calls a second that one caller may make (by token, else certificate, else
    address), as many at once; 0: any number.
    """

    caller_concurrency: int = 0
    """Calls that one caller may have open; 0: any number."""

    # Reading one small file. Twice as long delays a generation by half a second more.
    watch_every_seconds: float = 0.5
    """Seconds between two polls of the `CURRENT` pointer."""

    # A stat and a read of a small file. Twice as long adds half of that to every click.
    overlay_every_seconds: float = 0.1
    """Seconds between two looks for new segments of the overlay."""

    # A refresher replays some minutes of events onto a new generation in seconds. Twice
    # as long, and one that never comes keeps an old generation live for twice as long.
    overlay_wait_seconds: float = 120.0
    """Longest wait of a newer generation, or of a refresher that began anew, until it
    is as fresh as what is live; then it goes live as it is, and receipts say so.
    """

    # A refresher says something each second: five missed are no pause of its machine.
    # Twice as long tells of a dead one later.
    overlay_silent_seconds: float = 5.0
    """Seconds without a word of the refresher after which the server says so."""

    # A shopper who clicks and comes back within a minute sees what came of it; the lane
    # takes about a second. Twice as long: lateness is counted when it is twice as bad.
    objective_seconds: float = 60.0
    """How old an answer may be, in seconds, to be counted as fresh
    (`freshet_server_answers_total`), by its own receipt.
    """

    # Some 100 bytes each. A refresher wants the few thousand that are asked most. Twice
    # as many take twice the memory, and tell it of what hardly anybody asks.
    asked_queries: int = 4096
    """Most queries whose askings are counted, for the refresher."""

    # Pauses double from a second up to this. Twice as long delays a recovery by that.
    retry_seconds: float = 30.0
    """Longest wait before a generation that failed for a transient reason is retried.
    """

    # A million items of 64 dimensions take 11 s from a cold disk. Twice as long waits
    # twice as long for a disk that hangs.
    load_seconds: float = 300.0
    """Longest load of a generation; then it is given up, refused as `stuck`, and tried
    again.
    """

    # A catalogue loses a tenth of its items in a bad night; half of them is a broken
    # feed. Twice as much (all of them) would refuse each deletion.
    min_items_share: float = 0.5
    """Indexed items that a newer generation must have, as a share of the live one's;
    below it is refused as `shrunk`. 0: any number. Going back to an older one is never
    held to it.
    """

    # A request takes milliseconds; orchestrators kill after 10 to 30 s.
    grace_seconds: float = 5.0
    """Seconds that running requests get to finish at shutdown."""

    copy_to_memory: bool = True
    """Whether generations are copied into memory and served from there, where nothing
    that happens to their files can harm the server; two of them at a swap. False: their
    files are mapped, and only what is asked for takes memory, but a file that is copied
    over while it is served ends the server. Linux only; elsewhere files are mapped.
    """

    # Some 2 ms a query at 100,000 items, a query a second then. Twice as much samples
    # twice as many of a large index, and takes that from requests.
    recall_cpu_share: float = 0.01
    """Most of a core that is spent on answering some queries exactly as well, to
    measure what the index finds of them (`freshet_server_index_recall`); 0: none.
    """

    # Each is compared with an exact scan: for all of them one pass over the vectors.
    # Twice as many take up to twice the time before a generation goes live.
    num_canaries: int = 16
    """Canary queries that are checked before a generation goes live."""

    # The gate wants .98 (`model.recall_at_10`) of many; of 16, some miss by chance. At
    # 0.9 here sound generations would be refused now and then.
    canary_floor: float = 0.75
    """The share of canaries whose exact nearest item must be among the first answers of
    the index.
    """

    # Some 100,000 of them. Twice as many bytes hold those of twice the catalogue; one
    # that is not there costs a microsecond.
    hit_cache_bytes: int = 32 << 20
    """Most memory for the hits that were shown, ready as bytes of an answer; with the
    extra ``native``, which writes them faster than they are found, none is kept.
    """

    # A tenth of a second. Twice as many map little more of an index whose checksum was
    # just computed.
    num_warmups: int = 64
    """Warm-up searches on a new index, before its first request."""

    def __post_init__(self) -> None:
        split_address(self.listen, "listen")
        split_address(self.metrics, "metrics")
        if self.http_address:
            split_address(self.http_address, "http_address")
        counts = (
            "default_k",
            "max_k",
            "max_batch",
            "max_batch_items",
            "max_query_chars",
            "num_threads",
            "workers",
            "max_calls_per_connection",
            "max_connections",
            "asked_queries",
        )
        for name in counts:
            _require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
            _require(
                getattr(self, name) <= _MOST_COUNT, name, getattr(self, name), "at most 2147483647"
            )
        for name in ("num_canaries", "num_warmups", "caller_concurrency", "hit_cache_bytes"):
            _require(getattr(self, name) >= 0, name, getattr(self, name), "at least 0")
        for name, most in (("workers", _MOST_WORKERS), ("num_threads", _MOST_THREADS)):
            _require(getattr(self, name) <= most, name, getattr(self, name), f"at most {most}")
        for name in (each.name for each in fields(self) if each.name.endswith("_seconds")):
            _require(
                getattr(self, name) <= _MOST_SECONDS, name, getattr(self, name), "at most 30 days"
            )
        for name in (
            "watch_every_seconds",
            "retry_seconds",
            "load_seconds",
            "overlay_every_seconds",
            "overlay_silent_seconds",
            "objective_seconds",
        ):
            _require(getattr(self, name) > 0, name, getattr(self, name), "more than 0")
        for name in (
            "grace_seconds",
            "overlay_wait_seconds",
            "lame_duck_seconds",
            "caller_calls_per_second",
        ):
            _require(getattr(self, name) >= 0, name, getattr(self, name), "at least 0")
        for name in ("canary_floor", "min_items_share", "recall_cpu_share"):
            _require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "from 0 to 1")
        _require(
            self.workers == 1 or HAS_PRIVATE_FILES,
            "workers",
            self.workers,
            "1 on this system; several need Linux",
        )
        _require(
            bool(self.tls_cert) == bool(self.tls_key),
            "tls_key",
            repr(self.tls_key),
            "set if and only if tls_cert is",
        )
        _require(
            self.tls_cert or not self.tls_client_ca,
            "tls_client_ca",
            repr(self.tls_client_ca),
            "empty without tls_cert",
        )
        _require(
            self.default_k <= self.max_k,
            "default_k",
            self.default_k,
            f"at most max_k ({self.max_k})",
        )


def _require(holds: object, name: str, value: object, wanted: str) -> None:
    if not holds:
        raise SettingsInvalid(f"server.{name} is {value}; it must be {wanted}")
