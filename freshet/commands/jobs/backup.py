"""`freshet backup`: makes, lists, verifies and prunes backups."""

import json
from contextlib import ExitStack
from pathlib import Path

import click

from freshet.backup.generations import artifacts_copies
from freshet.backup.place import backups_at, bytes_progress
from freshet.process import CommandError, begin
from freshet.stores.artifacts import existing_artifacts
from freshet.terminal import options
from freshet.terminal.output import bytes_text, duration, table, when
from stream.backup.create import create_backup
from stream.backup.manifest import Backup
from stream.backup.repository import Backups
from stream.backup.writer import writing
from stream.clock import now_ms
from stream.errors import BackupError

_COLUMNS = ("backup", "age", "shards", "facts", "graph", "up to", "generation", "bytes")


@click.group()
def backup() -> None:
    """Back up a store with its generations, and look after the backups.

    URL is a folder on another disk, or an fsspec URL such as s3://bucket/shop; each
    store has its own. Left out, it is stream.backups_url.
    """


@backup.command(name="create")
@options.backups_argument
@options.store_option
@click.option(
    "--artifacts", type=options.FOLDER, metavar="DIR", help="Folder of the generations, too."
)
@click.option(
    "--all-generations",
    is_flag=True,
    help="Back up all generations that are kept, not only the live one.",
)
@click.option(
    "--unchecked",
    is_flag=True,
    help="Do not read the whole store first: for many backups a day beside a checked one.",
)
@options.keep_options
@options.config_option
def backup_create(  # noqa: PLR0913  # the options of the command
    *,
    url: str | None,
    store: Path,
    artifacts: Path | None,
    all_generations: bool,
    unchecked: bool,
    keep: int | None,
    max_age: float | None,
    config_file: Path | None,
) -> None:
    """Back up a store and its live generation, while everything runs.

    All of the store is read first, to see that none of it is damaged; only what no
    earlier backup has is put there. Killed at any moment, it leaves the
    backups before it as they are; do it again.

    \b
    freshet backup create s3://backups/shop --store shop.store --keep 14
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    settings = begin(config_file).stream()
    backups = backups_at(url, settings)
    with ExitStack() as stack:
        on_bytes = stack.enter_context(bytes_progress("backing up", None))
        copies = (
            stack.enter_context(
                artifacts_copies(
                    existing_artifacts(artifacts).root, store, is_live_only=not all_generations
                )
            )
            if artifacts
            else lambda: None
        )
        made = create_backup(
            backups,
            store,
            settings,
            now_ms,
            artifacts=copies,
            is_checked=not unchecked,
            on_bytes=on_bytes,
        )
    found = made.backup
    click.echo(
        f"{len(found.files):,} files, {bytes_text(found.num_bytes)}, of which "
        f"{bytes_text(made.num_bytes_new)} new; {_contents(found)}",
        err=True,
    )
    click.echo(found.backup_id)
    if artifacts and found.artifacts is None:
        click.echo(f"{artifacts} has no current generation, so none is backed up", err=True)
    if keep is not None or max_age is not None:
        _prune(backups, keep, max_age)


@backup.command(name="list")
@options.backups_argument
@options.json_option
@options.config_option
def backup_list(*, url: str | None, as_json: bool, config_file: Path | None) -> None:
    """List the backups, oldest first."""
    backups = backups_at(url, begin(config_file).stream())
    found = backups.read_all()
    if as_json:
        click.echo(json.dumps([_entry(name, each) for name, each in found.items()]))
        return
    if not found:
        raise CommandError(
            f"there is no backup at {backups.url}; make one with: freshet backup create"
        )
    click.echo(table(_COLUMNS, [_row(name, each) for name, each in found.items()]))


@backup.command(name="verify")
@options.backups_argument
@click.option("--backup", "backup_id", type=options.TEXT, metavar="ID", help="Only this one.")
@click.option(
    "--remove-damaged",
    is_flag=True,
    help="Remove damaged files, so that the next backup puts those that it needs there again.",
)
@options.json_option
@options.config_option
def backup_verify(
    *,
    url: str | None,
    backup_id: str | None,
    remove_damaged: bool,
    as_json: bool,
    config_file: Path | None,
) -> int:
    """Read every byte of the backups, and say which can be restored.

    The exit code is 1 if one cannot.
    """
    backups = backups_at(url, begin(config_file).stream())
    found = {backup_id: backups.read(backup_id)} if backup_id else backups.read_all()
    readable = [each for each in found.values() if isinstance(each, Backup)]
    total = sum({file.sha256: file.size for each in readable for file in each.files}.values())
    with bytes_progress("verifying", total) as on_bytes:
        damaged = backups.damaged_files(readable, on_bytes)
    problems = {name: _problems(each, damaged) for name, each in found.items()}
    if as_json:
        entries = [
            {"backup_id": name, "whole": not texts, "problems": texts}
            for name, texts in problems.items()
        ]
        click.echo(json.dumps(entries))
    for name, texts in () if as_json else problems.items():
        click.echo(f"{name}  {'; '.join(texts) or 'whole'}")
    if remove_damaged and damaged:
        with writing(backups) as writer:
            writer.remove_files(list(damaged))
        click.echo(f"{len(damaged)} damaged files removed; back up again now", err=True)
    return 1 if any(problems.values()) else 0


@backup.command(name="prune")
@options.backups_argument
@options.keep_options
@options.config_option
def backup_prune(
    *, url: str | None, keep: int | None, max_age: float | None, config_file: Path | None
) -> None:
    """Remove old backups, and the files that no other backup has.

    The newest one always stays. What was erased from the store leaves the backups with
    the last one that was made before its purge.
    """
    if keep is None and max_age is None:
        raise click.UsageError("give --keep N or --max-age", ctx=click.get_current_context())
    _prune(backups_at(url, begin(config_file).stream()), keep, max_age)


def _prune(backups: Backups, keep: int | None, max_age: float | None) -> None:
    oldest_ms = None if max_age is None else now_ms() - round(max_age * 1000)
    with writing(backups) as writer:
        pruned = writer.prune(keep=keep, oldest_ms=oldest_ms)
    click.echo(
        f"{len(pruned.backup_ids)} older backups removed, and {pruned.num_files:,} files", err=True
    )


def _problems(found: Backup | BackupError, damaged: dict[str, str]) -> list[str]:
    if isinstance(found, BackupError):
        return [str(found)]
    return [
        f"{file.part} {file.name} {damaged[file.sha256]} (files/{file.sha256})"
        for file in found.files
        if file.sha256 in damaged
    ]


def _contents(found: Backup) -> str:
    store, artifacts = found.store, found.artifacts
    generation = artifacts.generation_id if artifacts else "none"
    return f"{store.facts:,} facts in {len(store.shards)} shards, generation {generation}"


def _entry(name: str, found: Backup | BackupError) -> dict[str, object]:
    if isinstance(found, BackupError):
        return {"backup_id": name, "error": str(found)}
    artifacts = found.artifacts
    return {
        "backup_id": name,
        "taken_ms": found.taken_ms,
        "store_id": found.store.store_id,
        "num_shards": found.store.num_shards,
        "facts": found.store.facts,
        "graph_hash": found.store.graph_hash,
        "watermark_ms": found.store.watermark_ms,
        "positions": {
            str(shard.shard): [
                {"source": at.source, "partition": at.partition, "next_offset": at.next_offset}
                for at in shard.positions
            ]
            for shard in found.store.shards
        },
        "generation": artifacts.generation_id if artifacts else None,
        "generations": list(artifacts.generation_ids) if artifacts else [],
        "num_files": len(found.files),
        "num_bytes": found.num_bytes,
    }


def _row(name: str, found: Backup | BackupError) -> tuple[str, ...]:
    if isinstance(found, BackupError):
        return (name, "", "", "", "", "", f"unreadable: {found}", "")
    store = found.store
    return (
        name,
        duration(max(now_ms() - found.taken_ms, 0) / 1000),
        f"{len(store.shards)} of {store.num_shards}",
        f"{store.facts:,}",
        store.graph_hash[:8],
        when(store.watermark_ms) if store.watermark_ms else "none yet",
        found.artifacts.generation_id if found.artifacts else "none",
        bytes_text(found.num_bytes),
    )
