"""`freshet restore`: puts a backup back into empty folders."""

from contextlib import ExitStack
from pathlib import Path

import click

from freshet.backup.generations import restored_artifacts
from freshet.backup.place import backups_at, bytes_progress
from freshet.process import begin
from freshet.terminal import options
from freshet.terminal.output import duration, when
from stream.backup.manifest import Backup
from stream.backup.restore import RestoredStore, restored_store
from stream.clock import now_ms


@click.command()
@options.backups_argument
@click.option("--store", type=options.FOLDER, metavar="DIR", help="Folder for the graph store.")
@click.option("--artifacts", type=options.FOLDER, metavar="DIR", help="Folder for the generations.")
@click.option(
    "--backup",
    "backup_id",
    type=options.TEXT,
    metavar="ID",
    help="Which backup  [default: the newest]",
)
@options.config_option
def restore(
    *,
    url: str | None,
    store: Path | None,
    artifacts: Path | None,
    backup_id: str | None,
    config_file: Path | None,
) -> None:
    """Restore a backup into folders that are empty or not there yet.

    Every byte is verified before anything is put in place. What was erased after the
    backup is erased again, as far as newer backups or freshet erase --store have noted
    it. Then start the processes: the stream reads on where the backup ended.

    \b
    freshet restore s3://bucket/shop --store shop.store --artifacts artifacts
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    if store is None and artifacts is None:
        raise click.UsageError(
            "give --store DIR, --artifacts DIR or both", ctx=click.get_current_context()
        )
    settings = begin(config_file).stream()
    backups = backups_at(url, settings)
    backup = backups.read(backup_id) if backup_id else backups.newest()
    parts = [*(["store"] if store else []), *(["artifacts"] if artifacts else [])]
    total = sum(file.size for file in backup.files if file.part in parts)
    lines = []
    with bytes_progress("restoring", total) as on_bytes, ExitStack() as stack:
        if store:
            outcome = stack.enter_context(
                restored_store(backups, backup, store, settings, now_ms(), on_bytes=on_bytes)
            )
            lines += _store_lines(store, backup, outcome)
        if artifacts:
            found = stack.enter_context(restored_artifacts(backups, backup, artifacts, on_bytes))
            lines.append(f"{artifacts}: generation {found.generation_id} is current")
    age = duration(max(now_ms() - backup.taken_ms, 0) / 1000)
    click.echo(f"restored the backup of {when(backup.taken_ms)}, {age} old", err=True)
    for line in lines:
        click.echo(line, err=True)
    click.echo(backup.backup_id)


def _store_lines(root: Path, backup: Backup, outcome: RestoredStore) -> list[str]:
    """Say what is in the store, where it is read on, and what is erased in it."""
    store = backup.store
    shards = f"{len(store.shards)} of {store.num_shards} shards"
    lines = [f"{root}: {store.facts:,} facts in {shards}, graph {store.graph_hash}"]
    for shard in store.shards:
        offsets = [f"{at.source}/{at.partition} at {at.next_offset}" for at in shard.positions]
        if offsets:
            lines.append(f"shard {shard.shard} reads on from {', '.join(offsets)}")
    if outcome.num_erased:
        lines.append(
            f"erased again: {outcome.num_erased} erasures of after the backup, "
            f"{outcome.num_erased_facts:,} facts; redact the quarantine again (freshet quarantine "
            "redact), and make a new generation (freshet train)"
        )
    else:
        lines.append("erased again: nothing that newer backups or notes know of")
    lines.append(
        "erasures that came through the erasures topic since come again from there; repeat "
        "those that were made with freshet erase --store and are noted nowhere"
    )
    return lines
