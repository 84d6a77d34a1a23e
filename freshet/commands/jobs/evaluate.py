"""`freshet evaluate`: how good retrieval is on a log's own future."""

from pathlib import Path

import click

from freshet.evaluation.event_log import EventLog
from freshet.process import begin
from freshet.terminal import options


@click.command()
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
    problems = {
        "give --events, --store or --snapshot, not several": events and (store or snapshot),
        "--items goes with --events": items and not events,
        "--models, --paper and --seeds do not go with --streamed": streamed
        and (models or paper or num_seeds),
        "--refresh-every and --days go with --streamed": not streamed and (refresh_every or days),
    }
    for problem in (text for text, is_there in problems.items() if is_there):
        raise click.UsageError(problem, ctx=click.get_current_context())
    log = EventLog(
        graph=None if events else options.one_graph(store, snapshot),
        events=events,
        items=items,
    )
    config = begin(config_file)
    settings, stream_settings = config.model(budget_seconds=budget), config.stream()
    if streamed:
        from freshet.evaluation import replay_report  # noqa: PLC0415  # the other needs torch

        replay_report.report(
            log,
            settings,
            stream_settings,
            refresh_every=refresh_every,
            days=days,
            as_json=as_json,
        )
        return
    from freshet.evaluation import holdout_report  # noqa: PLC0415  # torch takes seconds

    holdout_report.report(
        log,
        settings,
        stream_settings,
        models=_named(models, paper=paper),
        num_seeds=num_seeds or 3,
        as_json=as_json,
    )


def _named(models: str, *, paper: bool) -> list[str]:
    """Return the names in a list with commas.

    The paper's own model is among them all where none is named.
    """
    names = [name.strip() for name in models.split(",") if name.strip()]
    return [*names, "paper"] if names and paper else names
