"""`freshet query`: queries a running server."""

import click

from freshet.terminal import options
from freshet.terminal.output import duration, shortened, table, when
from freshet_client import (
    Access,
    Context,
    Filter,
    FilterReport,
    GroupBy,
    Receipt,
    RetrievalClient,
    parse_condition,
)


@click.command()
@click.argument("text")
@click.option(
    "-k",
    "num_hits",
    type=click.IntRange(min=1),
    metavar="N",
    default=10,
    show_default=True,
    help="Number of items.",
)
@options.target_option
@click.option(
    "--timeout",
    type=options.DURATION,
    default="5s",
    show_default=True,
    help="Longest wait for the answer.",
)
@click.option(
    "--max-age",
    type=options.DURATION,
    default=None,
    help="Greatest age of the answer, such as 2s; it fails where the answer would be older.",
)
@click.option(
    "--min-reflected",
    "min_reflected_ms",
    type=click.IntRange(min=1),
    default=None,
    metavar="MS",
    help="Least reflected time of the answer, UTC epoch milliseconds, as a receipt has it.",
)
@click.option(
    "--context",
    "context_item_ids",
    type=options.TEXT,
    multiple=True,
    metavar="ITEM",
    help="Item of the running session, oldest first (repeatable).",
)
@click.option(
    "--context-query",
    "context_queries",
    type=options.TEXT,
    multiple=True,
    metavar="TEXT",
    help="Earlier query of the running session, oldest first (repeatable).",
)
@click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="CONDITION",
    help=(
        "What an attribute must be: brand=acme, brand=acme|zeta, brand!=acme, price<=20, brand "
        "(the item has it), !brand (repeatable: all must hold)."
    ),
)
@click.option(
    "--exclude",
    "excluded",
    multiple=True,
    metavar="ITEM",
    help="Item that may not be in the answer (repeatable).",
)
@click.option(
    "--group-by",
    type=options.TEXT,
    metavar="ATTRIBUTE[:N]",
    help="At most N items (1) with the same value of this attribute.",
)
@click.option(
    "--min-score",
    type=options.NumberType(-1, 1),
    metavar="SCORE",
    default=None,
    help="Least score of an item.",
)
@options.json_option
def query(  # noqa: PLR0913  # an argument an option
    *,
    text: str,
    num_hits: int,
    target: str,
    timeout: float,
    max_age: float | None,
    min_reflected_ms: int | None,
    context_item_ids: tuple[str, ...],
    context_queries: tuple[str, ...],
    filters: tuple[str, ...],
    excluded: tuple[str, ...],
    group_by: str | None,
    min_score: float | None,
    as_json: bool,
) -> None:
    """Query a running server, and show how fresh its answer is.

    \b
    freshet query "wireless headphones" -k 10 --target 127.0.0.1:50051 --json
    freshet query "wireless headphones" --context 4711 --context 815
    freshet query "wireless headphones" --filter brand=acme --filter 'price<=20'

    A protected server: FRESHET_CLIENT_TOKEN_FILE, FRESHET_CLIENT_TLS_CA, and for mutual
    TLS FRESHET_CLIENT_TLS_CERT and FRESHET_CLIENT_TLS_KEY name files.
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    context = Context(item_ids=context_item_ids, queries=context_queries)
    filter_by = Filter(
        conditions=[parse_condition(each) for each in filters],
        excluded_item_ids=excluded,
        group_by=_group_by(group_by) if group_by else None,
        min_score=min_score,
    )
    access = Access.from_environment()
    with RetrievalClient(target, timeout_seconds=timeout, retry=None, access=access) as client:
        if as_json:
            found = client.retrieve_json(
                text,
                num_hits,
                min_reflected_ms=min_reflected_ms or 0,
                max_age_seconds=max_age,
                context=context,
                filter_by=filter_by,
            )
            click.echo(found)
            return
        answer = client.retrieve(
            text,
            num_hits,
            min_reflected_ms=min_reflected_ms or 0,
            max_age_seconds=max_age,
            context=context,
            filter_by=filter_by,
        )
    rows = [
        (str(rank), f"{hit.score:.3f}", hit.item_id, shortened(hit.title))
        for rank, hit in enumerate(answer.hits, start=1)
    ]
    click.echo(table(("", "score", "item", "title"), rows))
    click.echo(f"\n{_freshness_line(answer.receipt)}", err=True)
    if answer.filter is not None:
        click.echo(_filter_line(answer.filter), err=True)
    click.echo(
        f"generation {answer.receipt.generation}, {_all_events_until(answer.receipt)}, "
        f"query {answer.path or 'unknown'}{_shifted_by(answer.context_members)}",
        err=True,
    )


def _group_by(text: str) -> GroupBy:
    """Return the group of ``brand`` or ``brand:2``."""
    attribute, _, number = text.rpartition(":")
    if attribute and number.isdecimal():
        return GroupBy(attribute, int(number))
    return GroupBy(text)


def _freshness_line(receipt: Receipt) -> str:
    """Return how fresh the answer is: what the overlay has, else the snapshot."""
    if receipt.age_seconds is None:
        return (
            f"answered from the graph as it was at {when(receipt.snapshot_ms)} "
            f"({duration(receipt.snapshot_age_seconds)} ago); no overlay says more"
        )
    catalog = receipt.catalog_age_seconds
    is_ahead = catalog is not None and f"{catalog:.1f}" != f"{receipt.age_seconds:.1f}"
    return (
        f"overlay {receipt.overlay_sequence}, all that had reached the topics by "
        f"{when(receipt.reflected_ms)} is in it ({receipt.age_seconds:.1f} s ago)"
        + (f", all of the catalogue until {catalog:.1f} s ago" if is_ahead else "")
    )


def _all_events_until(receipt: Receipt) -> str:
    """Return up to when all that happened in the shop is known: no age of the
    answer.
    """
    if not receipt.watermark_ms:
        return "no event in it"
    ago = duration(receipt.watermark_age_seconds)
    return f"all events until {when(receipt.watermark_ms)} ({ago} ago)"


def _filter_line(report: FilterReport) -> str:
    matching = (
        "1 item matches" if report.num_matching == 1 else f"{report.num_matching} items match"
    )
    found = f"{matching}, found by {report.path or 'an unknown way'}"
    if not report.unknown_attributes:
        return found
    return f"{found}; no item has {', '.join(map(repr, report.unknown_attributes))}"


def _shifted_by(members: int) -> str:
    return f", shifted by {members} of its session" if members else ""
