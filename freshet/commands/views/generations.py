"""`freshet generations`: which there are, what is in one, which one is current, and
whether it stays so.
"""

import json
import shlex
from pathlib import Path
from typing import Any

import click
from google.protobuf import json_format

from freshet.process import CommandError
from freshet.stores.artifacts import damage_of, existing_artifacts
from freshet.terminal import options
from freshet.terminal.output import named_values, table
from model.artifact.store import ArtifactStore, Pin
from model.errors import ArtifactError
from model.publishing.drift import FIRST_PAGE_OVERLAP
from model.publishing.gate import OWN_TITLE_RECALL
from model.publishing.publish import use_generation
from protos.manifest_v1_pb2 import Generation
from stream.clock import now_ms

_LISTED_FIGURES = (
    "validation_mrr",
    "validation_recall_10",
    "popularity_mrr",
    OWN_TITLE_RECALL,
    FIRST_PAGE_OVERLAP,
)
"""Of the fifty of an evaluation what one compares generations by: how well held-out
clicks are found beside what sells best, new items by their titles, and how much of the
first pages stayed. Twice as many leave a terminal no line a generation.
"""


@click.group()
def generations() -> None:
    """List the generations of an artifacts folder; show, use or pin one."""


@generations.command(name="list")
@options.artifacts_option
@click.option(
    "--verify",
    "reads_all",
    is_flag=True,
    help="Read every file, as a server does: without, damage that keeps names and sizes is "
    "not seen.",
)
@options.json_option
def generations_list(*, artifacts: Path, reads_all: bool, as_json: bool) -> None:
    """List the generations, oldest first; * marks the current one, P a pinned one.

    One whose files are missing, of another size or, with --verify, of other content is
    damaged: no server takes it. `freshet generations show ID` has all figures of one.
    """
    store = existing_artifacts(artifacts)
    current, pinned = _current_id(store), _pinned_id(store)
    found = {name: _manifest_or_problem(store, name) for name in store.generation_ids()}
    damage = {name: damage_of(store, name, reads_all=reads_all) for name in found}
    if as_json:
        entries = [
            _list_entry(name, each, is_current=name == current)
            | {"pinned": name == pinned, "damage": damage[name]}
            for name, each in found.items()
        ]
        click.echo(json.dumps(entries))
        return
    if not found:
        raise CommandError(f"{artifacts} has no generation yet; make one with `freshet train`")
    rows = [
        (_mark(name, current, pinned), name, *_list_cells(each, damage[name]))
        for name, each in found.items()
    ]
    click.echo(table(("", "generation", "items", "queries", *_LISTED_FIGURES, "gate"), rows))


@generations.command(name="show")
@click.argument("generation_id", type=options.TEXT, metavar="[ID]", required=False)
@options.artifacts_option
@options.json_option
def generations_show(*, generation_id: str | None, artifacts: Path, as_json: bool) -> None:
    """Show a generation: its counts, provenance, evaluation and the gate's verdict.

    Without an ID, it shows the current one.
    """
    store = existing_artifacts(artifacts)
    chosen = generation_id or store.current_id()
    if chosen is None:
        raise CommandError(f"{artifacts} has no current generation; make one with `freshet train`")
    known = store.generation_ids()
    if chosen not in known:
        newest = ", ".join(known[-3:]) or "none"
        raise CommandError(f"no generation {chosen} in {artifacts}; the newest there: {newest}")
    manifest = store.manifest(chosen)
    if as_json:
        shown = json_format.MessageToJson(
            manifest, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        click.echo(shown)
        return
    summary = _summary(manifest, is_current=chosen == store.current_id())
    figures = summary.pop("evaluation")
    rows = named_values(summary)
    rows += [(f"evaluation {name}", f"{value:.4g}") for name, value in figures.items()]
    rows += [(f"model {name}", value) for name, value in sorted(manifest.model.items())]
    click.echo(table(("", ""), rows))


@generations.command(name="use")
@click.argument("generation_id", type=options.TEXT, metavar="ID")
@options.artifacts_option
@options.json_option
def generations_use(*, generation_id: str, artifacts: Path, as_json: bool) -> None:
    """Make a generation current, after verifying all its files.

    Servers swap to it within their poll interval. It is current until a tuner publishes
    the next one: pin it to keep it. Where another one is pinned, the pin moves to this
    one.
    """
    store = existing_artifacts(artifacts)
    before, pinned = _current_id(store), _pinned_id(store)
    use_generation(store, generation_id)
    moved = pinned is not None and pinned != generation_id
    if moved:
        store.set_pin(Pin(generation_id=generation_id, since_ms=now_ms()))
    if as_json:
        click.echo(
            json.dumps({"current": generation_id, "before": before, "pinned": pinned is not None})
        )
        return
    click.echo(f"{generation_id} is current now (before: {before or 'none'})")
    if pinned is not None:
        what = (
            f"the pin moved to it (before: {pinned or 'unreadable'})" if moved else "it is pinned"
        )
        click.echo(f"{what}: what a tuner publishes does not go live")
    else:
        keep = shlex.join(
            ["freshet", "generations", "pin", generation_id, "--artifacts", str(artifacts)]
        )
        click.echo(f"what a tuner publishes next goes live over it; to keep it: {keep}")


@generations.command(name="pin")
@click.argument("generation_id", type=options.TEXT, metavar="[ID]", required=False)
@options.artifacts_option
@options.json_option
def generations_pin(*, generation_id: str | None, artifacts: Path, as_json: bool) -> None:
    """Make a generation current and keep it so, whatever a tuner publishes.

    Without an ID, it pins the current one. The tuner goes on training and publishing;
    `freshet generations unpin` lets the next generation go live.
    """
    store = existing_artifacts(artifacts)
    current = _current_id(store)
    chosen = generation_id or current
    if chosen is None:
        raise CommandError(f"{artifacts} has no current generation; make one with `freshet train`")
    before = store.pin()
    # The pin comes first: a tuner that publishes meanwhile moves nothing.
    if before is None or before.generation_id != chosen:
        store.set_pin(Pin(generation_id=chosen, since_ms=now_ms()))
    try:
        if chosen != current:
            use_generation(store, chosen)
    except (ArtifactError, OSError):
        store.set_pin(before)
        raise
    if as_json:
        click.echo(json.dumps({"current": chosen, "before": current, "pinned": True}))
        return
    click.echo(f"{chosen} is current and pinned (current before: {current or 'none'})")
    click.echo("what a tuner publishes does not go live until `freshet generations unpin`")


@generations.command(name="unpin")
@options.artifacts_option
@options.json_option
def generations_unpin(*, artifacts: Path, as_json: bool) -> None:
    """Let what a tuner publishes go live again.

    The current generation stays until the tuner's next one, or until `freshet
    generations use` chooses another.
    """
    store = existing_artifacts(artifacts)
    before = _pinned_id(store)
    store.set_pin(None)
    if as_json:
        click.echo(json.dumps({"current": _current_id(store), "pinned": False}))
        return
    if before is None:
        click.echo("no generation was pinned")
        return
    newest = store.generation_ids()[-1:]
    click.echo(
        f"{before or 'the generation'} is pinned no more; the tuner's next generation goes live"
    )
    if newest and newest[0] != _current_id(store):
        click.echo(f"the newest there is {newest[0]}: `freshet generations use` takes it at once")


def _current_id(store: ArtifactStore) -> str | None:
    """Return the current generation; None where there is none.

    A pointer that names none is reported on stderr: `use` replaces it.
    """
    try:
        return store.current_id()
    except ArtifactError as error:
        click.echo(f"freshet: {error}", err=True)
        return None


def _pinned_id(store: ArtifactStore) -> str | None:
    """Return the pinned generation; empty: the file does not say; None: none is."""
    pin = store.pin()
    return None if pin is None else pin.generation_id


def _mark(generation_id: str, current: str | None, pinned: str | None) -> str:
    marks = (("*", generation_id == current), ("P", generation_id == pinned))
    return "".join(mark for mark, holds in marks if holds)


def _manifest_or_problem(store: ArtifactStore, generation_id: str) -> Generation | str:
    """Return a manifest, or what is wrong with it.

    One bad generation must not hide the good ones.
    """
    try:
        return store.manifest(generation_id)
    except ArtifactError as error:
        return str(error)


def _list_entry(
    generation_id: str, found: Generation | str, *, is_current: bool
) -> dict[str, object]:
    if isinstance(found, str):
        return {"generation_id": generation_id, "current": is_current, "error": found}
    return _summary(found, is_current=is_current)


def _list_cells(found: Generation | str, damage: str) -> tuple[str, ...]:
    if isinstance(found, str):
        return "", "", *("" for _ in _LISTED_FIGURES), f"unreadable: {found}"
    gate = "passed" if found.gate.passed else f"refused: {'; '.join(found.gate.reasons)}"
    if damage:
        gate = f"damaged: {damage}"
    figures = (
        f"{found.evaluation[name]:.3f}" if name in found.evaluation else ""
        for name in _LISTED_FIGURES
    )
    return f"{found.num_items:,}", f"{found.num_queries:,}", *figures, gate


def _summary(manifest: Generation, *, is_current: bool) -> dict[str, Any]:
    return {
        "generation_id": manifest.generation_id,
        "current": is_current,
        "parent": manifest.parent,
        "created_ms": manifest.created_ms,
        "watermark_ms": manifest.snapshot.watermark_ms,
        "snapshot_ms": manifest.snapshot.taken_ms,
        "num_items": manifest.num_items,
        "num_queries": manifest.num_queries,
        "num_indexed": manifest.num_indexed,
        "gate_passed": manifest.gate.passed,
        "gate_reasons": list(manifest.gate.reasons),
        "evaluation": dict(sorted(manifest.evaluation.items())),
    }
