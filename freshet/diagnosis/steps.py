"""Next steps that problems of several processes have."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from freshet.diagnosis.processes import ProcessStatus
from freshet.terminal.output import duration

ANOTHER_GENERATION: Final = (
    "`freshet generations list --artifacts DIR --verify` says which are whole, and `freshet "
    "generations use ID --artifacts DIR` puts one of them live; where none is, `freshet train "
    "--store STORE --artifacts DIR` makes one"
)
"""Where what is current cannot be used."""

FIRST_GENERATION: Final = "let the tuner make a first generation, which is taken by itself"
"""Where there is none yet; `with_first_step` says how."""


def with_first_step(
    process: ProcessStatus, streams: Sequence[ProcessStatus], tuner: ProcessStatus
) -> ProcessStatus:
    """Return the status of a process with what a first generation waits for, where it
    has none.

    Args:
        process: any.
        streams: say whether the graph has anything.
        tuner: says whether it trains.
    """
    problems = tuple(
        replace(each, step=_first_step(streams, tuner)) if each.step == FIRST_GENERATION else each
        for each in process.problems
    )
    return replace(process, problems=problems)


def _first_step(streams: Sequence[ProcessStatus], tuner: ProcessStatus) -> str:
    began = tuner.facts.get("run_began_age_seconds")
    if isinstance(began, float):
        return f"the first training has run for {duration(began)}: wait for it"
    if not tuner.facts:
        return "start the tuner (freshet tune), which makes it"
    told = [each for each in streams if each.facts]
    if told and all(each.facts.get("watermark_age_seconds") is None for each in told):
        return "feed events: the graph is empty, and the tuner has nothing to learn from"
    failure = tuner.facts.get("last_failure") or tuner.facts.get("last_failure_reason")
    if failure:
        return f"the tuner tries again by itself; its last run failed: {failure}"
    return "wait for the tuner's first run; its log says what it waits for"
