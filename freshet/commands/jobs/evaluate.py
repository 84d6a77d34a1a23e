"""`freshet evaluate`: offline evaluation of retrieval on a time split of a log."""

from pathlib import Path

import click

from freshet.evaluation.event_log import EventLog
from freshet.evaluation.fits import Shown
from freshet.process import begin
from freshet.terminal import options


@click.command()
@click.option(
    "--events", type=options.FILE, multiple=True, metavar="FILE", help="Event file (repeatable)."
)
@click.option(
    "--items", type=options.FILE, multiple=True, metavar="FILE", help="Catalogue file (repeatable)."
)
@options.graph_options
@click.option(
    "--protocol",
    type=click.Choice(("time", "paper")),
    default="time",
    show_default=True,
    help="The split, the candidates and the figures.",
)
@click.option(
    "--models",
    default="",
    metavar="NAME,...",
    help="Models to evaluate, as listed above [default: all that need not be named].",
)
@click.option("--paper", is_flag=True, help="Evaluate the paper's configuration, too.")
@click.option(
    "--seeds",
    "num_seeds",
    type=click.IntRange(min=1),
    metavar="N",
    help="Fits per model, each with its own seed [default: 3].",
)
@click.option(
    "--budget",
    type=options.DURATION,
    default="10m",
    show_default=True,
    help="Longest time for one fit.",
)
@click.option(
    "--views-share",
    type=options.NumberType(0, 1, max_open=True),
    metavar="SHARE",
    help="Turn this share of the past's search clicks into views [default: 0].",
)
@click.option(
    "--views-seed",
    type=click.IntRange(0, 2**63 - 1),
    metavar="N",
    help="Which clicks --views-share takes: another seed, others [default: 0].",
)
@click.option(
    "--streamed",
    is_flag=True,
    help="Replay the log: what refreshes and the fresh lane bring over nightly retraining.",
)
@click.option(
    "--refresh-every",
    type=click.IntRange(min=1),
    metavar="N",
    help="Clicks between two refreshes [default: 1000].",
)
@click.option(
    "--days", type=click.IntRange(min=1), metavar="N", help="Replay only the newest N days."
)
@click.option("--quiet", is_flag=True, help="Do not say on stderr how far it is.")
@options.json_option
@options.config_option
def evaluate(  # noqa: PLR0913  # an argument an option
    *,
    events: tuple[Path, ...],
    items: tuple[Path, ...],
    store: Path | None,
    snapshot: Path | None,
    protocol: str,
    models: str,
    paper: bool,
    num_seeds: int | None,
    budget: float,
    views_share: float | None,
    views_seed: int | None,
    streamed: bool,
    refresh_every: int | None,
    days: int | None,
    quiet: bool,
    as_json: bool,
    config_file: Path | None,
) -> None:
    """Evaluate retrieval on the newest part of a log.

    Models are trained on the past of a log and evaluated on its newest part.

    The log is split by time. Settings are chosen on the 10% of the clicks after the
    first 70%; the newest 20% are the test. Only query-item pairs that are new at that
    time count, each by its rank among all items: MRR, Recall@10, Recall@100 and
    NDCG@10, over all pairs and by segment, with 95% intervals over queries and seeds.
    The full model is compared with each other model by paired bootstrap; what it loses
    by more than noise is listed.

    Segments go by what came before: queries and items are frequent (from five clicks
    out of a search), rare or new, a pair isolated where either has no click. Of
    session_items only sessions know the item; of session_pairs a session, besides,
    joins it to an item that was clicked for the query. Up to 2,000 items without a
    click are asked for by their exact titles, too (own_title; own_title_no_session:
    those in no session either): how many are among the first ten, and the median rank.

    --views-share 0.8 hides the query of four in five of the past's search clicks: what
    is left is a view in the same session, as in a shop where most products are seen
    without a search. That holds for the past of the test and of the 10% before it. What
    is asked stays the same, real clicks that are new to the whole past, so that figures
    of different shares can be compared; a hidden pair is not ranked.

    Models: popularity, bm25, co-occurrence, lightgcn, text, each channel of the network
    alone by its name (such as bipartite), full and paper: the configuration of Han et
    al. (WSDM 2023), for reference (SAGE and hypergraph convolutions, attention, an MLP
    scorer). --paper adds it to --models. These are judged only if they are named:
    paper+dropedge, paper+pretraining, paper+pretraining+dropedge, and full and the
    channels with +pretraining or -dropedge.

    --streamed replays the log from the day on which half of its clicks are reached. One
    system is rebuilt every midnight (UTC), another refreshed every N clicks, as freshet
    tune does it, and the third is the first with the fresh lane: it answers two seconds
    later with each click, as freshet refresh does it. All predict each click before any
    learns from it, pairs seen before included. It prints MRR and Recall@10, and how
    much better each is than the first, with 95% intervals over days; and what the
    running session brings the two that train, on clicks with something before them.

    --protocol paper evaluates as Han et al. do: random query-item edges are held out,
    in groups by the degree of their items (head, tail1, tail2, isolated); each pair is
    ranked among 50 wrong items and 50 wrong queries. It prints MRR, recall as their
    code counts it, Recall@10, and gains, by what messages travel over: leak (held-out
    edges, too, as in their code), clean (no held-out edge), strict (nor sessions of
    held-out clicks). Models: paper-hypergraph (without its hypergraph) and paper, each
    also with +pretraining, +dropedge and +pretraining+dropedge, bipartite and full.

    Before each fit stderr says how far it is, and once one model was trained about how
    long the rest takes; a first look is --models bm25,text,full --seeds 1.

    \b
    freshet evaluate --events events.jsonl.gz --items items.jsonl.gz
    freshet evaluate --events log.jsonl.gz --items items.jsonl.gz --views-share 0.8
    freshet evaluate --events log.jsonl.gz --items items.jsonl.gz --streamed --days 14
    freshet evaluate --store shop.store --models bm25,text,full --seeds 5 --json
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    problems = {
        "give --events, --store or --snapshot, not several": events and (store or snapshot),
        "--items goes with --events": items and not events,
        "--models, --paper, --seeds and --views-share do not go with --streamed": streamed
        and (models or paper or num_seeds or views_share),
        "--views-seed goes with --views-share": views_seed is not None and not views_share,
        "--protocol paper goes with none of --streamed, --paper and --views-share": protocol
        == "paper"
        and (streamed or paper or views_share),
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
    shown = Shown(as_json=as_json, quiet=quiet)
    settings, stream_settings = config.model(budget_seconds=budget), config.stream()
    if streamed:
        from freshet.evaluation import replay_report  # noqa: PLC0415  # the other needs torch

        replay_report.report(
            log,
            settings,
            stream_settings,
            refresh_every=refresh_every,
            days=days,
            shown=shown,
        )
        return
    from freshet.evaluation import holdout_report, paper_report  # noqa: PLC0415  # torch is slow
    from model.evaluation.hidden_queries import HiddenQueries  # noqa: PLC0415  # only here

    names, seeds = _named(models, paper=paper), num_seeds or 3
    if protocol == "paper":
        paper_report.report(
            log, settings, stream_settings, models=names, num_seeds=seeds, shown=shown
        )
        return
    holdout_report.report(
        log,
        settings,
        stream_settings,
        models=names,
        num_seeds=seeds,
        shown=shown,
        views=HiddenQueries(share=views_share, seed=views_seed or 0) if views_share else None,
    )


def _named(models: str, *, paper: bool) -> list[str]:
    """Return the names in a list with commas.

    The paper's own model is among them all where none is named.
    """
    names = [name.strip() for name in models.split(",") if name.strip()]
    return [*names, "paper"] if names and paper else names
