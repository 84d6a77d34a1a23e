"""`freshet train`: one generation, trained and published."""

from pathlib import Path

import click

from freshet.process import EXIT_INTERRUPTED, CommandError, begin, stop_event
from freshet.stores.artifacts import writable_artifacts
from freshet.stores.ranks import has_followed, launched_ranks, leading
from freshet.stores.training_input import snapshot_input, store_input
from freshet.terminal import options
from freshet.terminal.progress import progress
from model.errors import TrainingCancelled
from model.publishing.refresh import train_and_publish
from model.publishing.turn import training_turn


@click.command()
@options.graph_options
@options.artifacts_option
@click.option(
    "--budget",
    type=options.DURATION,
    help=("Longest time for the training, such as 5m [default: the setting model.budget_seconds]."),
)
@click.option(
    "--seed", type=int, help="Seed of all random choices [default: the setting model.seed]."
)
@options.config_option
def train(
    *,
    store: Path | None,
    snapshot: Path | None,
    artifacts: Path,
    budget: float | None,
    seed: int | None,
    config_file: Path | None,
) -> None:
    """Train one generation and publish it; its id is the last line on stdout.

    It becomes current, unless another one is pinned. While another training makes a
    generation in the same folder, such as a tuner's, this one is refused; a tuner waits
    for this one.

    Started by torchrun, ranks train together, and the first one publishes: it alone
    reads the graph and the artifacts.

    \b
    freshet train --store shop.store --artifacts artifacts --budget 5m
    torchrun --nproc-per-node 2 -m freshet train --store shop.store --artifacts out
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    path = options.one_graph(store, snapshot)
    config = begin(config_file)
    settings, stream_settings = config.model(budget_seconds=budget, seed=seed), config.stream()
    read = snapshot_input if store is None else store_input
    import model.training.train  # noqa: F401, PLC0415  # torch takes seconds

    with stop_event() as stop, launched_ranks(settings) as ranks:
        if has_followed(ranks, settings, stop.is_set):
            return
        with leading(ranks), progress("training", "passes") as advance:
            artifact_store = writable_artifacts(artifacts)
            try:
                with training_turn(artifact_store.root):
                    generation_id = train_and_publish(
                        read(path, stream_settings),
                        artifact_store,
                        settings,
                        on_progress=lambda each: advance(each.passes, each.max_passes),
                        is_cancelled=stop.is_set,
                        ranks=ranks,
                    )
            except TrainingCancelled:
                raise CommandError(
                    "stopped; no generation was published", exit_code=EXIT_INTERRUPTED
                ) from None
    pin = artifact_store.pin()
    if pin is not None and pin.generation_id != generation_id:
        click.echo(
            f"freshet: not current: {pin.generation_id or 'another generation'} is pinned; "
            "`freshet generations unpin` ends that",
            err=True,
        )
    click.echo(generation_id)
