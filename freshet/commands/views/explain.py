"""`freshet explain`: why an item answers a query, as a server or a folder has it."""

import json
from pathlib import Path

import click
from click.core import ParameterSource

from freshet.explanation.of_folder import explain_hit
from freshet.explanation.told import Told
from freshet.explanation.words import document, lines
from freshet.logs.printable import printable_json
from freshet.stores.artifacts import current_generation
from freshet.stores.overlays import current_overlay
from freshet.terminal import options

# For one call, which takes milliseconds. Twice as long: whoever waits for a server that
# is down waits twice as long.
_SECONDS = 5.0


@click.command()
@click.argument("query")
@click.argument("item_id")
@click.option(
    "--artifacts",
    type=options.FOLDER,
    metavar="DIR",
    help="Folder of the generations, read instead of asking a server.",
)
@options.target_option
@click.option(
    "--limit",
    type=click.IntRange(min=1, max=100),
    metavar="N",
    default=10,
    show_default=True,
    help="Number of paths, strongest first.",
)
@options.json_option
def explain(
    *,
    query: str,
    item_id: str,
    artifacts: Path | None,
    target: str,
    limit: int,
    as_json: bool,
) -> None:
    """Explain why an item answers a query.

    It shows their score, what was clicked and seen since the generation, the attention
    between channels, and the strongest paths of clicks and sessions between the two.
    The score is of the vectors that a server answers with: those of the overlay where
    it has some, which know what is newer than the generation. Attention and paths are
    of the generation. A path's strength is its share of what the network's channels
    carry between the two, before training weighs the channels.

    \b
    freshet explain "red shoes" shoe-17
    freshet explain --target search.example:50051 "red shoes" shoe-17
    freshet explain --artifacts artifacts "red shoes" shoe-17

    A protected server: as for `freshet query`.
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    context = click.get_current_context()
    is_given = context.get_parameter_source("target") is not ParameterSource.DEFAULT
    if artifacts is not None and is_given:
        raise click.UsageError(
            "give --target HOST:PORT to ask a server, or --artifacts DIR to read its folder",
            ctx=context,
        )
    if artifacts is None:
        told = _asked(target, query, item_id, limit)
    else:
        generation = current_generation(artifacts)
        overlay = current_overlay(artifacts, generation)
        told = explain_hit(generation, overlay, query, item_id, limit)
    if as_json:
        click.echo(printable_json(json.dumps(document(told), ensure_ascii=False)))
        return
    for line in lines(told):
        click.echo(line)


def _asked(target: str, query: str, item_id: str, limit: int) -> Told:
    # Reading a folder needs neither client nor gRPC.
    from freshet.explanation.of_server import ask_server  # noqa: PLC0415
    from freshet_client import Access, RetrievalClient  # noqa: PLC0415

    with RetrievalClient(
        target, timeout_seconds=_SECONDS, retry=None, access=Access.from_environment()
    ) as client:
        return ask_server(client, query, item_id, limit)
