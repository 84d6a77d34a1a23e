"""`freshet quarantine`: the rejected records, why, and the way back for them."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from freshet.logs.printable import printable_json
from freshet.process import CommandError, begin
from freshet.stores.quarantined import apply_again, keys_erased_with, mentions, refused_again
from freshet.terminal import options
from freshet.terminal.output import table, when, write_lines
from protos.text import text_key
from stream.clock import now_ms
from stream.quarantine.file import FILE_NAME, read_quarantine, remove_quarantined
from stream.quarantine.headers import Place
from stream.quarantine.records import QuarantinedRecord
from stream.quarantine.redactions import Redaction, note_redaction
from stream.quarantine.topic import publish_again, read_quarantine_topic
from stream.reasons import REASONS
from stream.settings import StreamSettings
from stream.store.store import Store, read_manifest

F = TypeVar("F", bound=Callable[..., Any])

_TOO_LATE = "too_late"

_NEEDS_STREAMS = "what comes in does where the streams run under these settings, too"
_IS_UP_TO_STREAMS = (
    "published again: the streams read them by their own settings, and `freshet status` says "
    "whether they quarantine them again"
)


@dataclass(frozen=True)
class _Wanted:
    """Which records a command is about.

    Attributes:
        store: whose quarantine file is read; None: the topic is.
        kafka: the brokers of the topic.
        reasons: of the records; none: all.
        since_ms: they were rejected then or later.
        until_ms: they were rejected then or earlier.
    """

    store: Path | None
    kafka: str | None
    reasons: tuple[str, ...]
    since_ms: int | None
    until_ms: int | None

    def __post_init__(self) -> None:
        if (self.kafka is None) == (self.store is None):
            raise click.UsageError(
                "give either --store DIR or --kafka HOST:PORT", ctx=click.get_current_context()
            )
        if self.store is not None and not self.store.is_dir():
            raise CommandError(f"{self.store}: there is no store; check --store")

    @property
    def file(self) -> Path:
        """The quarantine file of the store."""
        return (self.store or Path()) / FILE_NAME

    @property
    def nothing(self) -> str:
        """What to say where there are none."""
        if self.kafka is None:
            return (
                "nothing that came from files is quarantined; what came from topics: "
                "--kafka HOST:PORT in place of --store"
            )
        return "nothing is quarantined"

    def records(self, settings: StreamSettings) -> Iterable[QuarantinedRecord]:
        """Return the records, oldest first."""
        if self.kafka is None:
            return filter(self.covers, read_quarantine(self.file))
        found = filter(self.covers, read_quarantine_topic(self.kafka, settings))
        return sorted(found, key=lambda record: record.at_ms)

    def covers(self, record: QuarantinedRecord) -> bool:
        """Return whether a record is among them."""
        return (
            (not self.reasons or record.reason in self.reasons)
            and (self.since_ms is None or record.at_ms >= self.since_ms)
            and (self.until_ms is None or record.at_ms <= self.until_ms)
        )


@dataclass(slots=True)
class _Counts:
    """How many records there are by reason, and when the newest was rejected."""

    records: Counter[str] = field(default_factory=Counter)
    newest_ms: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """How many there are of all reasons."""
        return self.records.total()

    def seen(self, records: Iterable[QuarantinedRecord]) -> Iterator[QuarantinedRecord]:
        """Yield the records, and count each."""
        for record in records:
            self.records[record.reason] += 1
            newest = self.newest_ms.get(record.reason, 0)
            self.newest_ms[record.reason] = max(newest, record.at_ms)
            yield record

    def text(self) -> str:
        """Return a line a reason, the most frequent first."""
        rows = [
            (reason, f"{number:,}", when(self.newest_ms[reason]))
            for reason, number in self.records.most_common()
        ]
        return table(("reason", "records", "newest"), rows)


def _selection(command: F) -> F:
    """Add the options that say which records a command is about."""
    for option in reversed(
        (
            click.option(
                "--store",
                type=options.FOLDER,
                metavar="DIR",
                help="The quarantine file of this store: what came from files.",
            ),
            click.option(
                "--kafka",
                "--source",
                "kafka",
                type=options.BROKERS,
                help="The quarantine topic of these brokers: what came from topics.",
            ),
            click.option(
                "--reason",
                "reasons",
                type=click.Choice(list(REASONS)),
                multiple=True,
                metavar="REASON",
                help="Only records with this reason (repeatable).",
            ),
            click.option(
                "--since",
                type=options.TIME,
                help="Only records rejected since then: ISO 8601, or a duration ago (2h).",
            ),
            click.option("--until", type=options.TIME, help="Only records rejected until then."),
            options.config_option,
        )
    ):
        command = option(command)
    return command


@click.group()
def quarantine() -> None:
    """List the rejected records, or let them in once what was wrong is mended."""


@quarantine.command(name="list")
@_selection
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the newest N records.")
@options.json_option
def quarantine_list(  # noqa: PLR0913  # the options of the command
    *,
    store: Path | None,
    kafka: str | None,
    reasons: tuple[str, ...],
    since: int | None,
    until: int | None,
    config_file: Path | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """List the quarantined records, oldest first, below their number by reason."""
    wanted = _Wanted(store, kafka, reasons, since, until)
    counts = _Counts()
    found = deque(counts.seen(wanted.records(begin(config_file).stream())), maxlen=limit)
    if as_json:
        write_lines(printable_json(msgspec.json.encode(entry).decode()) for entry in found)
        return
    if not found:
        click.echo(wanted.nothing)
        return
    click.echo(f"{counts.text()}\n")
    if len(found) < counts.total:
        click.echo(f"the newest {len(found):,} of {counts.total:,}:")
    columns = ("when", "reason", "source", "partition", "offset", "detail")
    rows = [
        (
            when(entry.at_ms),
            entry.reason,
            entry.source,
            str(entry.partition),
            str(entry.offset),
            entry.detail,
        )
        for entry in found
    ]
    click.echo(table(columns, rows))


@quarantine.command(name="replay")
@_selection
@click.option("--dry-run", is_flag=True, help="Say what would come in, and change nothing.")
def quarantine_replay(  # the options of the command
    *,
    store: Path | None,
    kafka: str | None,
    reasons: tuple[str, ...],
    since: int | None,
    until: int | None,
    config_file: Path | None,
    dry_run: bool,
) -> None:
    """Let quarantined records in that can be used by now.

    Each is decoded again as it came, under today's settings and clock. Of a store's
    file, what is good is applied to the store and leaves the quarantine; no process may
    be writing the store. Of the topic, it is published again to the partition that it
    came from, where the streams read it by their own settings: start them again first
    where these have changed. What is refused again stays. Repeats change
    nothing, so it can be done as often as you like.

    Records of the topic that were too_late are published only with --reason too_late:
    the stream refuses them again unless its session_retention_seconds is longer now.

    \b
    freshet quarantine replay --store shop.store --reason oversized --dry-run
    freshet quarantine replay --kafka localhost:9092 --since 2h
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    wanted = _Wanted(store, kafka, reasons, since, until)
    settings = begin(config_file).stream()
    found = list(wanted.records(settings))
    if not found:
        click.echo(wanted.nothing)
        return
    if wanted.store is not None:
        held_back = _replay_file(wanted, found, wanted.store, settings, dry_run=dry_run)
    else:
        held_back = _replay_topic(wanted, found, str(wanted.kafka), settings, dry_run=dry_run)
    click.echo(_as_text(found, held_back))
    if dry_run:
        click.echo("nothing was changed", err=True)
    if wanted.kafka is not None and len(held_back) < len({record.place for record in found}):
        click.echo(_NEEDS_STREAMS if dry_run else _IS_UP_TO_STREAMS, err=True)


@quarantine.command(name="redact")
@click.argument("kind", type=click.Choice(["user", "session", "item"]))
@click.argument("text", metavar="ID")
@options.store_option
@options.config_option
def quarantine_redact(*, kind: str, text: str, store: Path, config_file: Path | None) -> None:
    """Remove the records that have an erased id in them from a store's quarantine.

    For a user also those of the sessions that were erased with it. In JSON the id is
    looked for as a whole value; in other records, such as protobuf and what does not
    parse, as bytes anywhere, which may remove more. The stream may run. What the
    quarantine topic holds stays until its retention ends.

    \b
    freshet quarantine redact user u-4711 --store shop.store
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    settings = begin(config_file).stream()
    keys = keys_erased_with(store, text, settings) if kind == "user" else set()
    num_removed = remove_quarantined(store / FILE_NAME, lambda record: mentions(record, text, keys))
    redaction = Redaction(
        kind=kind, key=f"{text_key(text):016x}", done_ms=now_ms(), num_removed=num_removed
    )
    note_redaction(store, redaction)
    click.echo(f"{num_removed:,} records removed from the quarantine")


def _replay_file(
    wanted: _Wanted,
    found: list[QuarantinedRecord],
    root: Path,
    settings: StreamSettings,
    *,
    dry_run: bool,
) -> dict[Place, str]:
    """Apply the records to their store; return why others stay, by place."""
    if dry_run:
        return _reasons_of(refused_again(found, settings))
    manifest = read_manifest(root)
    settings = replace(
        settings,
        half_life_seconds=manifest.half_life_seconds,
        session_gap_seconds=manifest.session_gap_seconds,
    )
    with Store.create_or_open(root, settings) as store:
        store.check_free()
        refused = apply_again(found, store, settings)
        store.ownership.purge_now()
    good = {record.place for record in found} - refused.keys()
    remove_quarantined(wanted.file, lambda record: record.place in good and wanted.covers(record))
    return _reasons_of(refused)


def _replay_topic(
    wanted: _Wanted,
    found: list[QuarantinedRecord],
    brokers: str,
    settings: StreamSettings,
    *,
    dry_run: bool,
) -> dict[Place, str]:
    """Publish the records again; return why others stay, by place."""
    topics = {
        settings.clicks_topic,
        settings.sessions_topic,
        settings.catalog_topic,
        settings.erasures_topic,
    }
    held_back = _reasons_of(refused_again(found, settings))
    for record in found:
        if record.source not in topics or not record.source:
            held_back[record.place] = "it came from a topic that these settings do not name"
        elif not record.is_whole:
            held_back[record.place] = "the quarantine has a part of it only: publish it again"
        elif record.reason == _TOO_LATE and _TOO_LATE not in wanted.reasons:
            held_back[record.place] = f"{_TOO_LATE}: give --reason {_TOO_LATE} to publish it again"
    if not dry_run:
        good = [record for record in found if record.place not in held_back]
        publish_again(brokers, settings, good, now_ms())
    return held_back


def _reasons_of(refused: dict[Place, Any]) -> dict[Place, str]:
    return {place: rejection.reason for place, rejection in refused.items()}


def _as_text(found: list[QuarantinedRecord], held_back: dict[Place, str]) -> str:
    """Return how many records come in and stay, by the reason of their rejection."""
    once = {record.place: record for record in found}
    totals = Counter(record.reason for record in once.values())
    staying = Counter(once[place].reason for place in held_back)
    why = {
        reason: Counter(text for place, text in held_back.items() if once[place].reason == reason)
        for reason in totals
    }
    rows = [
        (
            reason,
            f"{total - staying[reason]:,}",
            f"{staying[reason]:,}",
            ", ".join(text for text, _ in why[reason].most_common()),
        )
        for reason, total in sorted(totals.items())
    ]
    return table(("reason", "come in", "stay", "because"), rows)
