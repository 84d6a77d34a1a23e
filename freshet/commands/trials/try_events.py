"""`freshet try-events`: says how each line of a file would be read, and why not."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click

from freshet.logs.printable import printable, printable_json
from freshet.process import CommandError, begin
from freshet.terminal import options
from freshet.terminal.described import described, kind_of
from freshet.terminal.output import write_lines
from stream.clock import now_ms
from stream.errors import SourceUnreadable
from stream.events.decoder import Decoded, Decoder
from stream.events.format import Event
from stream.events.types import Interaction, Record, SourcePartition
from stream.settings import StreamSettings
from stream.sources.numbered import numbered_lines

_STDIN = Path("/dev/stdin")


@click.command("try-events")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True), metavar="FILE")
@click.option(
    "--kind",
    type=click.Choice(["event", "item", "erasure"]),
    default="event",
    show_default=True,
    help="What the file, or the topic that its lines are from, holds.",
)
@click.option(
    "--content-type",
    default="",
    metavar="TYPE",
    help="The header of that name that each line would have in Kafka [default: none].",
)
@click.option("--refused", "refused_only", is_flag=True, help="Only lines that are refused.")
@options.json_option
@options.config_option
def try_events(
    *,
    file: Path,
    kind: str,
    content_type: str,
    refused_only: bool,
    as_json: bool,
    config_file: Path | None,
) -> None:
    """Say of each line of FILE (- is stdin) what would be read of it, or why it would
    be refused.

    Nothing is written, and neither Kafka nor a store is needed. The lines are decoded
    as `freshet stream` decodes them, under the settings of --config, [stream.mapping]
    included. What depends on a store, such as an event that is too late, is not told.

    The exit code is 1 where any line would be refused.

    \b
    freshet try-events log.jsonl --config freshet.toml
    kcat -C -t products -e | freshet try-events - --kind item --refused
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    settings = begin(config_file, log_level="WARNING").stream()
    trial = _Trial(settings, _source(kind, file, settings), content_type)
    path = _STDIN if str(file) == "-" else file
    try:
        write_lines(_lines(trial, path, as_json=as_json, refused_only=refused_only))
    except SourceUnreadable as error:
        raise CommandError(printable(str(error))) from error
    if as_json:
        click.echo(json.dumps({"lines": trial.num_lines, **trial.counts()}))
    else:
        click.echo(trial.summary())
    if trial.num_refused:
        raise CommandError(
            f"{trial.num_refused:,} of {trial.num_lines:,} lines would be refused, or a part of "
            "them; `freshet stream` would quarantine them and read the others"
        )


def _source(kind: str, file: Path, settings: StreamSettings) -> str:
    """Return where the lines are read as if they were from."""
    topics = {"item": settings.catalog_topic, "erasure": settings.erasures_topic}
    source = topics.get(kind, str(file))
    if not source:
        raise click.UsageError(
            f"no topic of {kind}s is set; set it, or leave --kind out",
            ctx=click.get_current_context(),
        )
    return source


@dataclass
class _Trial:
    """Decodes lines, and counts what became of them.

    Attributes:
        num_lines: that were not blank.
        num_refused: of these, which would be quarantined, whole or in part.
    """

    settings: StreamSettings
    source: str
    content_type: str
    num_lines: int = 0
    num_refused: int = 0
    _read: Counter[str] = field(default_factory=Counter)
    _ignored: Counter[str] = field(default_factory=Counter)
    _refused: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._decoder = Decoder(self.settings)

    def decode(self, number: int, line: bytes) -> Decoded:
        """Return what a line holds."""
        record = Record(
            position=SourcePartition(self.source, 0),
            offset=number,
            next_offset=number + 1,
            content_type=self.content_type,
            key=None,
            value=line,
        )
        decoded = self._decoder.decode(record, now_ms())
        self.num_lines += 1
        self.num_refused += bool(decoded.rejections)
        self._read.update(map(kind_of, decoded.events))
        self._refused.update(rejection.reason for rejection in decoded.rejections)
        if decoded.num_ignored:
            self._ignored[decoded.ignored_as] += decoded.num_ignored
        return decoded

    def counts(self) -> dict[str, dict[str, int]]:
        """Return how many of each kind were read, ignored and refused."""
        return {"read": self._read, "ignored": self._ignored, "refused": self._refused}

    def summary(self) -> str:
        """Return the counts as a sentence."""
        parts = [f"{self.num_lines:,} lines"] + [
            f"{name} {sum(counts.values()):,} ({_listed(counts)})"
            for name, counts in self.counts().items()
            if counts
        ]
        return ": ".join([parts[0], ", ".join(parts[1:]) or "nothing to read"])


def _listed(counts: dict[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{count:,} {name}" for name, count in ordered)


def _lines(trial: _Trial, path: Path, *, as_json: bool, refused_only: bool) -> Iterator[str]:
    """Yield what is said of each line."""
    for number, line in numbered_lines(path, trial.settings.max_record_bytes):
        decoded = trial.decode(number, line)
        if refused_only and not decoded.rejections:
            continue
        if as_json:
            found = {"line": number, **_as_object(decoded)}
            yield printable_json(json.dumps(found, ensure_ascii=False))
        else:
            yield from (f"{number:>6}  {printable(said)}" for said in _said(decoded))


def _as_object(decoded: Decoded) -> dict[str, object]:
    found: dict[str, object] = {
        "read": [{"kind": kind_of(each), **_fields(each)} for each in decoded.events],
        "refused": [
            {"reason": rejection.reason, "detail": rejection.detail}
            for rejection in decoded.rejections
        ],
    }
    if decoded.num_ignored:
        found["ignored"] = decoded.ignored_as
    if decoded.repairs:
        found["repairs"] = dict(Counter(decoded.repairs))
    return found


def _fields(event: Event) -> dict[str, object]:
    found = asdict(event)
    return found | {"action": event.action.label} if isinstance(event, Interaction) else found


def _said(decoded: Decoded) -> Iterator[str]:
    """Yield a sentence about each thing that a line holds."""
    for event in decoded.events:
        yield f"{kind_of(event):<12} {described(event)}"
    for repair, count in Counter(decoded.repairs).items():
        yield f"{repair:<12} {count:,} fields of the item"
    if decoded.num_ignored:
        yield f"{'ignored':<12} {decoded.ignored_as}"
    for rejection in decoded.rejections:
        yield f"{'REFUSED':<12} {rejection.reason}: {rejection.detail}"
