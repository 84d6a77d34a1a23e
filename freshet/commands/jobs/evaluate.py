"""What is done by hand: a snapshot, a training, an evaluation, an upgrade of a store,
an erasure.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from freshet.terminal import options

if TYPE_CHECKING:
    from stream.shard.codec import ErasureKind


@click.command(short_help="Take a consistent snapshot of the graph.")
@options.store_option
@click.option(
    "--out",
    type=options.FOLDER,
    required=True,
    metavar="DIR",
    help="The snapshot's folder, a new one.",
)
@options.config_option
def snapshot(*, store: Path, out: Path, config_file: Path | None) -> None:
    """Take a consistent snapshot of the graph.

    Hard links and a manifest, in well under a second.

    \b
    freshet snapshot --store shop.store --out monday.snapshot
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    from freshet.commands.services import stream as run

    run.snapshot(store, out, config_file=config_file)


@click.command(short_help="Train one generation and publish it.")
@options.graph_options
@options.artifacts_option
@click.option(
    "--budget", type=options.DURATION, help="The longest that training may take, such as 5m."
)
@click.option("--seed", type=int, help="Seed of everything random.")
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
    """Train one generation and publish it; the last line on stdout is its id.

    \b
    freshet train --store shop.store --artifacts artifacts --budget 5m
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    from freshet.commands.services import stream as run

    options.one_graph(store, snapshot)
    flags = {"budget_seconds": budget, "seed": seed}
    run.train(store, snapshot, artifacts, flags, config_file=config_file)


@click.command(short_help="Say how good retrieval is on a log's own future, beside baselines.")
@click.option("--events", type=options.FILE, multiple=True, metavar="FILE", help="Event files.")
@click.option("--items", type=options.FILE, multiple=True, metavar="FILE", help="Catalogue files.")
@options.graph_options
@click.option(
    "--models",
    default="",
    metavar="NAME,...",
    help="Which to judge; all, where it is left out: see below.",
)
@click.option("--paper", is_flag=True, help="Judge the paper's own configuration beside --models.")
@click.option(
    "--seeds", "num_seeds", type=click.IntRange(min=1), help="Fits of a model [default: 3]."
)
@click.option(
    "--budget",
    type=options.DURATION,
    default="10m",
    show_default=True,
    help="The longest that one fit takes.",
)
@click.option(
    "--streamed", is_flag=True, help="Replay the log: refreshed as clicks come, or every night?"
)
@click.option(
    "--refresh-every",
    type=click.IntRange(min=1),
    metavar="N",
    help="Clicks from one refresh to the next [default: 1000].",
)
@click.option("--days", type=click.IntRange(min=1), help="Replay the newest so many days only.")
@options.json_option
@options.config_option
def evaluate(  # noqa: PLR0913  # an argument an option
    *,
    events: tuple[Path, ...],
    items: tuple[Path, ...],
    store: Path | None,
    snapshot: Path | None,
    models: str,
    paper: bool,
    num_seeds: int | None,
    budget: float,
    streamed: bool,
    refresh_every: int | None,
    days: int | None,
    as_json: bool,
    config_file: Path | None,
) -> None:
    """Say how good retrieval is on a log's own future.

    Models learn its past, and are asked its newest part.

    The log is split by time. Settings are chosen on the 10% of the clicks after the
    first 70%; the newest 20% are asked. Only query-item pairs that are new by then
    count, each by its rank among all items: MRR, Recall@10, Recall@100, NDCG@10, over
    all pairs and by segment, with 95% intervals over queries and seeds, and the full
    model against each other by paired bootstrap.

    Models: popularity, bm25, co-occurrence, lightgcn, text, hypergraph, bipartite,
    full, and paper, the configuration of Han et al. (WSDM 2023) for reference: SAGE and
    hypergraph convolutions, attention, an MLP scorer; --paper adds it to --models. Only
    where they are named: paper+dropedge, paper+pretraining, paper+pretraining+dropedge,
    and full, bipartite, hypergraph with +pretraining or -dropedge.

    With --streamed, the log is replayed from the day on that half of its clicks are
    reached. A system that is refreshed every N clicks, as freshet tune does it, and one
    that is rebuilt every midnight (UTC) are asked each click before either learns from
    it, seen pairs too: MRR and Recall@10, and by how much the first is better, with 95%
    intervals over days.

    \b
    freshet evaluate --events events.jsonl.gz --items items.jsonl.gz
    freshet evaluate --events log.jsonl.gz --items items.jsonl.gz --streamed --days 14
    freshet evaluate --store shop.store --models bm25,text,full --seeds 5 --json
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    from freshet.evaluation import replay_report as evaluate_streamed
    from freshet.evaluation.event_log import Log
    from freshet.evaluation.holdout_report import evaluate as run_evaluation

    problems = {
        "give --events, --store or --snapshot, not several": events and (store or snapshot),
        "--items goes with --events": items and not events,
        "--models, --paper and --seeds do not go with --streamed": streamed
        and (models or paper or num_seeds),
        "--refresh-every and --days go with --streamed": not streamed and (refresh_every or days),
    }
    for problem in (text for text, is_there in problems.items() if is_there):
        raise click.UsageError(problem, ctx=click.get_current_context())
    log = Log(
        graph=None if events else options.one_graph(store, snapshot),
        events=events,
        items=items,
    )
    flags = {"budget_seconds": budget}
    if streamed:
        evaluate_streamed.evaluate(
            log,
            flags,
            refresh_every=refresh_every,
            days=days,
            as_json=as_json,
            config_file=config_file,
        )
        return
    run_evaluation(
        log,
        flags,
        models=_named(models, paper=paper),
        num_seeds=num_seeds or 3,
        as_json=as_json,
        config_file=config_file,
    )


def _named(models: str, *, paper: bool) -> list[str]:
    """Return the names in a list with commas.

    The paper's own model is among them all where none is named.
    """
    names = [name.strip() for name in models.split(",") if name.strip()]
    return [*names, "paper"] if names and paper else names


@click.command(short_help="Bring a store that an earlier version wrote to the present format.")
@options.store_option
@options.config_option
def upgrade(*, store: Path, config_file: Path | None) -> None:
    """Bring a store that an earlier version wrote to the present format, in place.

    freshet stream does it too, when it opens the store; killed half-way, it is taken up
    again. Copy the store first if the earlier version may be wanted back: it does not
    read the present format.

    \b
    freshet upgrade --store shop.store
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    from freshet.commands.services import stream as run

    run.upgrade(store, config_file=config_file)


@click.command(short_help="Forget a user, a session or an item, for good.")
@click.argument("kind", type=click.Choice(["user", "session", "item"]))
@click.argument("text", metavar="ID")
@click.option(
    "--kafka", type=options.BROKERS, help="Publish it: every shard that reads the topic erases it."
)
@click.option(
    "--store", type=options.FOLDER, metavar="DIR", help="Erase it in a store that nobody writes."
)
@click.option(
    "--lift", is_flag=True, help="Let its events count again, in --store; what is gone stays gone."
)
@click.option(
    "--compact",
    is_flag=True,
    help="Rewrite the files of --store, so that its bytes leave the disk.",
)
@options.config_option
def erase(
    *,
    kind: "ErasureKind",
    text: str,
    kafka: str | None,
    store: Path | None,
    lift: bool,
    compact: bool,
    config_file: Path | None,
) -> None:
    """Forget a user, a session or an item for good.

    What it made goes, and replays bring nothing back.

    \b
    freshet erase user u-4711 --kafka localhost:9092
    freshet erase item sku-12 --store shop.store
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    from freshet.commands.jobs import erase as erasing

    if (kafka is None) == (store is None):
        raise click.UsageError(
            "give either --kafka HOST:PORT or --store DIR", ctx=click.get_current_context()
        )
    if store is None and (lift or compact):
        raise click.UsageError(
            "--lift and --compact go with --store", ctx=click.get_current_context()
        )
    if store is not None:
        erasing.erase_in_store(
            kind, text, store, lift=lift, compact=compact, config_file=config_file
        )
    elif kafka is not None:
        erasing.publish(kind, text, kafka, config_file=config_file)
