"""The commands that run all day: stream, tune, serve."""

from pathlib import Path

import click

from freshet.terminal import options
from freshet.terminal.options import Source


@click.command(short_help="Read events from Kafka or files into the graph.")
@click.option(
    "--source",
    "sources",
    type=options.SOURCE,
    multiple=True,
    required=True,
    help=(
        "Where events come from: file:PATH_OR_GLOB (may be repeated) or "
        "kafka:HOST:PORT[,HOST:PORT]."
    ),
)
@click.option(
    "--catalog",
    "catalogs",
    type=options.SOURCE,
    multiple=True,
    help="A file of catalogue items, file:PATH. With Kafka the catalogue is a topic.",
)
@options.store_option
@click.option("--follow", is_flag=True, help="Keep watching the files, and new ones that match.")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    help="Processes that load files side by side, each with shards of its own.",
)
@click.option(
    "--checkpoints",
    metavar="URL",
    help="Folder or fsspec URL from which another machine goes on with a shard. With Kafka only.",
)
@options.metrics_option
@options.config_option
def stream(  # noqa: PLR0913  # the options of the command
    *,
    sources: tuple[Source, ...],
    catalogs: tuple[Source, ...],
    store: Path,
    follow: bool,
    workers: int,
    checkpoints: str | None,
    metrics: str | None,
    config_file: Path | None,
) -> None:
    """Read events into the graph.

    Event files until their end, or Kafka until told to stop.

    Every batch is one atomic write, its position included: stop it, kill it, start it
    again, and the graph is what one undisturbed pass would have made. What cannot be
    used goes to the quarantine with its reason.

    \b
    freshet stream --source file:log.jsonl.gz --catalog file:items.jsonl --store shop
    freshet stream --source kafka:localhost:9092 --store shop.store
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    from freshet.commands.services import stream as run

    _check_sources(sources, catalogs, follow=follow)
    _check_workers(
        workers, is_files=sources[0].kind == "file", runs_on=follow or metrics is not None
    )
    if checkpoints and sources[0].kind != "kafka":
        raise click.UsageError(
            "--checkpoints is for a kafka: source", ctx=click.get_current_context()
        )
    run.stream(
        sources,
        catalogs,
        store,
        follow=follow,
        workers=workers,
        checkpoints=checkpoints,
        metrics=metrics,
        config_file=config_file,
    )


@click.command(short_help="Tune the model on the graph, again and again.")
@options.store_option
@options.artifacts_option
@click.option("--every", type=options.DURATION, help="From one start to the next, such as 10m.")
@click.option(
    "--budget", type=options.DURATION, help="The longest that one training may take, such as 5m."
)
@click.option("--seed", type=int, help="Seed of everything random.")
@options.metrics_option
@options.config_option
def tune(
    *,
    store: Path,
    artifacts: Path,
    every: float | None,
    budget: float | None,
    seed: int | None,
    metrics: str | None,
    config_file: Path | None,
) -> None:
    """Snapshot the graph, train on from the last generation, judge the result, publish
    it; then again.

    A generation goes live only if it passes the gate. A failure is logged, counted by
    its reason and tried again in the next period; the generation that is live stays.

    \b
    freshet tune --store shop.store --artifacts artifacts --every 10m
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    from freshet.commands.services import stream as run

    flags = {"tune_every_seconds": every, "budget_seconds": budget, "seed": seed}
    run.tune(store, artifacts, flags, metrics=metrics, config_file=config_file)


@click.command(short_help="Answer queries over gRPC from the newest generation.")
@options.artifacts_option
@click.option("--listen", type=options.ADDRESS, metavar="HOST:PORT", help="Where gRPC is served.")
@options.metrics_option
@options.config_option
def serve(
    *, artifacts: Path, listen: str | None, metrics: str | None, config_file: Path | None
) -> None:
    """Answer queries over gRPC; swap to each new generation while answering.

    \b
    freshet serve --artifacts artifacts --listen 127.0.0.1:50051
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    from freshet.commands.services import stream as run

    run.serve(artifacts, listen=listen, metrics=metrics, config_file=config_file)


def _check_workers(workers: int, *, is_files: bool, runs_on: bool) -> None:
    if workers > 1 and (not is_files or runs_on):
        raise click.UsageError(
            "--workers is for file: sources that end, without --follow and --metrics; "
            "with Kafka start freshet stream several times",
            ctx=click.get_current_context(),
        )


def _check_sources(
    sources: tuple[Source, ...], catalogs: tuple[Source, ...], *, follow: bool
) -> None:
    ctx = click.get_current_context()
    kinds = {source.kind for source in sources}
    if len(kinds) > 1 or (kinds == {"kafka"} and len(sources) > 1):
        raise click.UsageError("give one kafka: source, or any number of file: sources", ctx=ctx)
    if any(catalog.kind != "file" for catalog in catalogs):
        raise click.UsageError("--catalog takes file:PATH", ctx=ctx)
    if kinds == {"kafka"} and (catalogs or follow):
        raise click.UsageError("--catalog and --follow are for file: sources", ctx=ctx)
