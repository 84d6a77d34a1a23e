"""`freshet publish`: publishes a few events or items to Kafka."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click

from freshet.logs.printable import printable
from freshet.process import begin
from freshet.shop.given import read_given
from freshet.terminal import options
from freshet.terminal.described import described, kind_of
from stream.clock import now_ms
from stream.kafka.producer import EventProducer
from stream.sources.numbered import numbered_lines

_STDIN = Path("/dev/stdin")


@click.command()
@click.argument("lines", nargs=-1, metavar="JSON...")
@click.option(
    "--kind",
    type=click.Choice(["event", "item"]),
    default="event",
    show_default=True,
    help="What each is: an event, or a state of an item, such as its deletion.",
)
@click.option(
    "--to",
    "brokers",
    type=options.BROKERS,
    required=True,
    help="Brokers to publish to: kafka:HOST:PORT[,HOST:PORT].",
)
@options.config_option
def publish(*, lines: tuple[str, ...], kind: str, brokers: str, config_file: Path | None) -> None:
    """Publish one event or item, or a few, to Kafka.

    JSON is a line as a file of `freshet replay` has it, or - to read lines from stdin;
    without ts_ms it is of now. It is read as `freshet stream` would read it, and goes,
    keyed and encoded as a real producer would, to the topics of --config. Where a line
    would be refused none is published, and the reason is what `freshet try-events`
    says.

    \b
    freshet publish --to kafka:localhost:9092 \\
      '{"type": "search_click", "session_id": "s-1", "query": "mug", "item_id": "4711"}'
    freshet publish --to kafka:localhost:9092 --kind item \\
      '{"item_id": "4711", "deleted": true}'
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    if not lines:
        raise click.UsageError(
            "give lines of JSON, or - to read them from stdin", ctx=click.get_current_context()
        )
    settings = begin(config_file, log_level="WARNING").stream()
    given = read_given(_numbered(lines, settings.max_record_bytes), kind, settings, now_ms())
    producer = EventProducer(brokers, settings)
    try:
        for each in given:
            producer.publish(each)
        producer.flush()
    finally:
        producer.close()
    for each in given:
        click.echo(printable(f"{kind_of(each):<12} {described(each)}"))
    click.echo(f"{_counted(Counter(map(kind_of, given)))} published", err=True)


def _numbered(lines: tuple[str, ...], max_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Yield lines with their numbers: arguments, or what stdin has."""
    if lines == ("-",):
        yield from numbered_lines(_STDIN, max_bytes)
        return
    yield from enumerate((line.encode(errors="surrogateescape") for line in lines), start=1)


def _counted(kinds: Counter[str]) -> str:
    named = (f"{count:,} {kind}{'' if count == 1 else 's'}" for kind, count in kinds.items())
    return ", ".join(named) or "nothing"
