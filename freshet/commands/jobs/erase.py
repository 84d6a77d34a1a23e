"""`freshet erase`: forgets a user, a session or an item, for good."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import click

from freshet.process import begin
from freshet.terminal import options
from protos.text import text_key
from stream.backup.repository import Backups
from stream.changes.erasure import erase as erasing
from stream.clock import now_ms
from stream.events.limits import CUT_PREFIX, Limits
from stream.events.types import Erasure, Rejected
from stream.kafka.producer import EventProducer
from stream.settings import StreamSettings
from stream.shard.codec import ErasureKind
from stream.store.checkpoints import NotedErasure
from stream.store.store import Store, read_manifest


@click.command()
@click.argument("kind", type=click.Choice(["user", "session", "item"]))
@click.argument("text", metavar="ID")
@click.option(
    "--kafka",
    type=options.BROKERS,
    help=("Publish the erasure to these brokers: each shard carries it out as it reads the topic."),
)
@click.option(
    "--store",
    type=options.FOLDER,
    metavar="DIR",
    help="Erase in this store; no process may be writing it.",
)
@click.option(
    "--lift",
    is_flag=True,
    help="Let its events count again, in --store; removed facts stay removed.",
)
@click.option(
    "--compact/--no-compact",
    default=None,
    help=(
        "Rewrite the files of --store at once, so that the erased bytes leave the disk "
        "[default], or leave that to the stream that opens it next."
    ),
)
@options.config_option
def erase(
    *,
    kind: ErasureKind,
    text: str,
    kafka: str | None,
    store: Path | None,
    lift: bool,
    compact: bool | None,
    config_file: Path | None,
) -> None:
    """Forget a user, a session or an item for good.

    Everything derived from it is removed, and no replay brings it back. An ID that
    begins with a dash goes behind two of them: -- -x7.

    \b
    freshet erase user u-4711 --kafka localhost:9092
    freshet erase item sku-12 --store shop.store
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    if (kafka is None) == (store is None):
        raise click.UsageError(
            "give either --kafka HOST:PORT or --store DIR", ctx=click.get_current_context()
        )
    if kind == "session" and text.startswith(CUT_PREFIX) and not lift:
        raise click.UsageError(
            f"the ids of sessions that Freshet cut ({CUT_PREFIX}USER@MS) change with earlier "
            "events; erase the user",
            ctx=click.get_current_context(),
        )
    if store is None and (lift or compact is not None):
        raise click.UsageError(
            "--lift and --compact go with --store", ctx=click.get_current_context()
        )
    settings = begin(config_file).stream()
    erasure = Erasure(kind=kind, id=_checked(text, settings), ts_ms=now_ms())
    if store is not None:
        outcome = _erase_in_store(erasure, store, settings, lift=lift, compact=compact is not False)
    else:
        outcome = _publish(erasure, str(kafka), settings)
    click.echo(outcome, err=True)


def _checked(text: str, settings: StreamSettings) -> str:
    """Return an id that the stream will take, which rejects others after they are
    published.
    """
    try:
        text.encode()
        return Limits.at(settings, now_ms()).id("ID", text)
    except UnicodeEncodeError:
        problem = "ID is not UTF-8"
    except Rejected as rejected:
        problem = rejected.detail
    raise click.UsageError(
        f"{problem}; no event can have such an id, and nothing was erased or published",
        ctx=click.get_current_context(),
    )


def _publish(erasure: Erasure, brokers: str, settings: StreamSettings) -> str:
    with closing(EventProducer(brokers, settings)) as producer:
        producer.publish_erasure(erasure)
        producer.flush()
    return f"published to {settings.erasures_topic}: each stream erases it as it reads the topic"


def _erase_in_store(
    erasure: Erasure, root: Path, settings: StreamSettings, *, lift: bool, compact: bool
) -> str:
    """Erase in every shard of a store, or lift the erasure there."""
    manifest = read_manifest(root)
    settings = replace(
        settings,
        half_life_seconds=manifest.half_life_seconds,
        session_gap_seconds=manifest.session_gap_seconds,
    )
    key = f"{text_key(erasure.id):016x}"
    noted = NotedErasure(kind=erasure.kind, key=key, asked_ms=erasure.ts_ms)
    num_facts = num_lifted = 0
    is_purged = compact
    with Store.create_or_open(root, settings) as store:
        store.check_free()
        if settings.backups_url:
            backups = Backups(settings.backups_url)
            (backups.forget_erasure if lift else backups.note_erasure)(noted)
        for index in range(store.num_shards):
            store.ownership.acquire_to_erase(index, noted, is_lifted=lift)
            shard = store.shard(index)
            if lift:
                num_lifted += erasing.lift(shard, erasure.kind, erasure.id, now_ms())
            else:
                num_facts += erasing.erase(shard, [erasure], now_ms())
            if compact:
                is_purged &= store.ownership.purge_now()
            store.close_shard(index)
    if lift:
        return _lifted_text(num_lifted)
    bytes_text = "out of the store's files" if is_purged else "still in the store's files"
    return f"erased: {num_facts:,} facts removed, and their bytes are {bytes_text}"


def _lifted_text(num_lifted: int) -> str:
    if not num_lifted:
        return "it was not erased"
    return f"lifted in {num_lifted} shards: its events count again"
