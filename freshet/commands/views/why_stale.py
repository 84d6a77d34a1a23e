"""`freshet why-stale`: which stage holds answers up, since when, and why."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from freshet.diagnosis.options import process_options
from freshet.diagnosis.processes import ProcessStatus, Targets
from freshet.diagnosis.stages import Verdict, judge
from freshet.diagnosis.status import read_status
from freshet.diagnosis.steps import ANOTHER_GENERATION
from freshet.logs.printable import printable
from freshet.process import CommandError
from freshet.terminal import options
from freshet.terminal.output import duration, table, when

if TYPE_CHECKING:
    from freshet.diagnosis.lookup import Found
    from model.artifact.store import ArtifactStore

Document = dict[str, object]


@click.command(name="why-stale")
@process_options
@click.option(
    "--artifacts",
    type=options.FOLDER,
    metavar="DIR",
    help="Folder of the generations, where it is on this machine.",
)
@click.option(
    "--query", "text", type=options.TEXT, metavar="TEXT", help="What became of this query?"
)
@click.option(
    "--item", "item_id", type=options.TEXT, metavar="ID", help="What became of this item?"
)
@click.option(
    "--generation",
    "generation_id",
    type=options.TEXT,
    metavar="ID",
    help="Why is this generation not served?",
)
@options.json_option
def why_stale(  # the options of the command
    targets: Targets,
    *,
    artifacts: Path | None,
    text: str | None,
    item_id: str | None,
    generation_id: str | None,
    as_json: bool,
) -> int:
    """Say why answers are stale: the stage that blocks, since when, the last good
    state, the cause and the next step.

    It asks the processes themselves, and waits for none longer than two seconds, or six
    where others are slow to answer, too. Of a
    query or an item it says whether generation or overlay have it, since when, and
    whether it would be found; --query with --item: by that query. The exit code is 0 if
    nothing is wrong there, 1 if something is, 2 if the command line is wrong.

    \b
    freshet why-stale
    freshet why-stale --item 4711 --artifacts artifacts
    freshet why-stale --item 4711 --query "wireless headphones" --artifacts artifacts
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    if (item_id or text or generation_id) and artifacts is None:
        raise click.UsageError(
            "--query, --item and --generation need --artifacts DIR, the folder of the generations",
            ctx=click.get_current_context(),
        )
    processes = read_status(targets)
    verdict = judge(processes)
    document, lines = _of_pipeline(verdict), _pipeline_lines(verdict)
    is_well = verdict.is_fresh
    if artifacts is not None and (item_id or text):
        found, about = _of_name(artifacts, item_id, text)
        document, lines = {**found, "pipeline": document}, [*about, "", *lines]
        is_well = found["found"] is True
    elif artifacts is not None and generation_id:
        found, about = _of_generation(artifacts, generation_id, processes)
        document, lines = {**found, "pipeline": document}, [*about, "", *lines]
        is_well = found["served"] is True
    click.echo(json.dumps(document, indent=2) if as_json else "\n".join(map(printable, lines)))
    return 0 if is_well else 1


def _of_pipeline(verdict: Verdict) -> Document:
    return {**asdict(verdict), "stages": [asdict(stage) for stage in verdict.stages]}


def _pipeline_lines(verdict: Verdict) -> list[str]:
    """Return the verdict as people read it; control characters are taken out later."""
    lines = [_first_line(verdict)]
    if verdict.cause is not None:
        lines.append(f"  cause      {verdict.cause.text}")
        lines.append(f"  next step  {verdict.cause.step}")
        lines.append(f"  runbook    docs/operations.md#{verdict.cause.runbook.lower()}")
    lines += [f"  last good  {verdict.last_good}", ""]
    rows = [
        ("->" if stage.name == verdict.blocked_at else "", str(stage.name), stage.text)
        for stage in verdict.stages
    ]
    lines += table(("", "stage", "how far"), rows).split("\n")
    if verdict.others:
        lines += ["", "also wrong:", *(f"  {each.text}" for each in verdict.others)]
    return lines


def _first_line(verdict: Verdict) -> str:
    age, objective = verdict.age_seconds, duration(verdict.objective_seconds)
    how_old = "nobody says how old answers are"
    if age is not None:
        how_old = f"answers are {duration(age)} old"
    if verdict.blocked_at is None:
        return f"nothing holds answers up: {how_old} (objective {objective})"
    since = verdict.since_seconds
    for_long = "" if since is None else f", for {duration(since)} at the least"
    return f"{how_old} (objective {objective}): held up at '{verdict.blocked_at}'{for_long}"


def _of_name(artifacts: Path, item_id: str | None, text: str | None) -> tuple[Document, list[str]]:
    # Opens generations, which needs numpy and more: only who asks pays for it.
    from freshet.diagnosis.lookup import (  # noqa: PLC0415
        FIRST_PAGE,
        look_up_item,
        look_up_query,
        open_shelf,
    )

    shelf = open_shelf(artifacts)
    if item_id:
        found = look_up_item(shelf, item_id, text or "")
        subject = f"item {item_id}" + (f" '{found.title}'" if found.title else "")
    else:
        found = look_up_query(shelf, text or "")
        if not found.name:
            raise CommandError("the query has no letter, digit or symbol; give what was searched")
        subject = f"query '{found.name}'"
    where = [
        f"  in the {each.place} {each.id} since {when(each.at_ms)}"
        f"{' or before: nothing older is kept' if each.is_first else ''}"
        for each in found.since
    ]
    is_found = found.is_found if item_id else True
    said = _verdict_of(found, FIRST_PAGE, is_item=bool(item_id))
    document: Document = {**asdict(found), "found": is_found, "generation": shelf.generation.id}
    return document, [f"{subject}: {said}", *where]


def _verdict_of(found: "Found", first_page: int, *, is_item: bool) -> str:
    if found.hidden:
        return f"not found: {found.hidden}"
    if not is_item and found.since:
        return "it has a vector of its own"
    if not is_item:
        return (
            "it has no vector of its own: no event with it has come this far, and its text alone "
            "answers"
        )
    if found.rank is None:
        return "it has no title to look for it by; give a --query"
    page = "on" if found.is_found else "behind"
    return f"rank {found.rank:,} for '{found.asked}': {page} the first page of {first_page}"


def _of_generation(
    artifacts: Path, generation_id: str, processes: Sequence[ProcessStatus]
) -> tuple[Document, list[str]]:
    from freshet.stores.artifacts import damage_of, existing_artifacts  # noqa: PLC0415  # as above
    from model.errors import ModelError  # noqa: PLC0415

    store = existing_artifacts(artifacts)
    servers = [each for each in processes if each.kind == "server"]
    serving = [each for each in servers if each.facts.get("generation") == generation_id]
    try:
        current: str | None = store.current_id()
    except ModelError as error:
        current = str(error)
    is_there = generation_id in store.generation_ids()
    damage = damage_of(store, generation_id, reads_all=True) if is_there else ""
    if servers and len(serving) == len(servers):
        said, step = "every server answers from it", "nothing"
        if damage:
            said = f"{said}, and one that starts anew cannot: {damage}"
            step = _instead_of(store, generation_id, current)
    elif not is_there:
        said = "it is not there: it was pruned, or never finished"
        step = (
            f"`freshet generations list --artifacts {quote(str(artifacts))}` says which there are"
        )
    elif damage:
        said = f"it is {'current, and ' if generation_id == current else ''}damaged: {damage}"
        step = _instead_of(store, generation_id, current)
    else:
        said, step = _why_not_served(store, generation_id, current, servers)
    document: Document = {
        "generation": generation_id,
        "served": bool(servers) and len(serving) == len(servers),
        "current": current,
        "cause": said,
        "next_step": step,
    }
    return document, [f"generation {generation_id}: {said}", f"  next step  {step}"]


def _instead_of(store: "ArtifactStore", generation_id: str, current: str | None) -> str:
    """Return what to do about a damaged generation."""
    from freshet.stores.artifacts import whole_generation  # noqa: PLC0415  # as above

    whole, where = (
        whole_generation(store, but=generation_id),
        f"--artifacts {quote(str(store.root))}",
    )
    if whole and whole == current:
        return f"nothing: {whole} is current, and whole"
    if whole:
        return f"`freshet generations use {whole} {where}`, which is whole"
    unpin = f"`freshet generations unpin {where}`; " if store.pin() is not None else ""
    return f"{unpin}no other is whole: `freshet train --store STORE {where}` makes one"


def _why_not_served(
    store: "ArtifactStore",
    generation_id: str,
    current: str | None,
    servers: Sequence[ProcessStatus],
) -> tuple[str, str]:
    """Return why a generation that is there and whole is not served, and what to do."""
    manifest, where = store.manifest(generation_id), f"--artifacts {quote(str(store.root))}"
    if not manifest.gate.passed and generation_id != current:
        reasons = "; ".join(manifest.gate.reasons)
        return f"the gate refused it: {reasons}", "see what changed in events or catalogue"
    if generation_id != current:
        newer = current is not None and current > generation_id
        kind = "a newer one" if newer else "another one"
        return f"{kind} is current: {current}", f"`freshet generations use {generation_id} {where}`"
    for server in servers:
        if server.facts.get("waits_for_overlay") == generation_id:
            return (
                f"{server.name} has loaded it, and its overlay is not as fresh yet as the live one",
                "wait: server.overlay_wait_seconds at most; look at the refresher if it stays",
            )
        if server.facts.get("newest_refused"):
            return (
                f"{server.name} refused it: {server.facts.get('last_refusal')}",
                ANOTHER_GENERATION,
            )
    answering = [each for each in servers if each.facts]
    if not answering:
        return "it is current, and no server answers", f"start `freshet serve {where}`"
    return (
        "it is current, and not every server has taken it",
        "wait a moment; a server that never does sees another artifacts folder than this one",
    )
