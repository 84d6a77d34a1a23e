"""How processes are, as text: a block each, or as fits on one screen."""

from collections.abc import Mapping, Sequence

import click

from freshet.diagnosis.processes import ProcessStatus, Value
from freshet.diagnosis.status import headline
from freshet.logs.printable import printable
from freshet.terminal.output import duration

# Characters that the name of a fact takes; the longest has 20. Twice as many: a gap
# that the eye cannot cross.
_NAME_WIDTH = 22
# The same of the name of a process; the longest has 9.
_PROCESS_WIDTH = 11


# Ages and lags of which 0 is the answer to how fresh it is.
_TELLING_ZEROS = frozenset(
    {
        "behind_seconds",
        "behind_records",
        "overlay_age_seconds",
        "reflected_age_seconds",
        "catalog_age_seconds",
    }
)
# Facts of how the inside of a process counts on: they say something beside a fault.
_INNER = frozenset(
    {
        "every_seconds",
        "mean_item_cosine",
        "started_age_seconds",
        "sequence",
        "rounds",
        "recomputed",
        "carried",
        "objective_seconds",
        "overlay_sequence",
        "overlay_segments",
        "overlay_segment",
        "swaps",
        "workers_up",
        "certified_recall",
        "watcher_age_seconds",
    }
)


def full_text(processes: Sequence[ProcessStatus], *, has_all: bool = False) -> str:
    """Return a block a process: what is wrong, and what there is to know.

    Args:
        processes: how they are.
        has_all: also of those that are well what is zero, and how their insides count
            on; how many values are left out is said otherwise.
    """
    shown = {each.name: _shown(each, has_all=has_all) for each in processes}
    text = "\n".join(
        [f"{headline(processes)}\n", *(_block(each, shown[each.name]) for each in processes)]
    )
    left_out = sum(len(_known(each)) - len(shown[each.name]) for each in processes)
    return f"{text}\n{left_out} more values: freshet status --all\n" if left_out else text


def _known(process: ProcessStatus) -> dict[str, Value]:
    return {name: value for name, value in process.facts.items() if value is not None}


def _shown(process: ProcessStatus, *, has_all: bool) -> dict[str, Value]:
    """Return the facts that are shown: of a process with a problem all."""
    known = _known(process)
    if has_all or process.problems:
        return known
    return {
        name: value
        for name, value in known.items()
        if name not in _INNER and (value or name in _TELLING_ZEROS)
    }


def screen(processes: Sequence[ProcessStatus], *, width: int, height: int) -> list[str]:
    """Return what fits on a screen: the headline, a line a process, what is wrong.

    Args:
        processes: how they are.
        width: characters of a line; what is longer is cut.
        height: lines; how many are left out is said in the last one.
    """
    lines = [headline(processes), ""]
    lines += [f"{each.name:<{_PROCESS_WIDTH}}{_word(each)}  {_figures(each)}" for each in processes]
    for each in processes:
        for problem in each.problems:
            lines += ["", f"{each.name}: {problem.text} ({problem.runbook})"]
            lines.append(f"{'':<{_PROCESS_WIDTH}}next: {problem.step}")
    if len(lines) > height:
        lines = [*lines[: height - 1], f"... {len(lines) - height + 1} more lines: freshet status"]
    cut = [_cut(printable(line), width) for line in lines]
    return [_coloured(line, processes) for line in cut]


def _block(process: ProcessStatus, facts: Mapping[str, Value]) -> str:
    lines = [f"{process.name:<{_PROCESS_WIDTH}}{_styled(_word(process))}  {process.address}"]
    for problem in process.problems:
        lines.append(printable(problem.text))
        lines.append(printable(f"  next: {problem.step} ({problem.runbook})"))
    if process.note:
        lines.append(printable(process.note))
    lines += [_as_text(name, value) for name, value in facts.items()]
    return f"\n{'':<{_PROCESS_WIDTH}}".join(lines) + "\n"


def _word(process: ProcessStatus) -> str:
    """Return in four characters how a process is."""
    if not process.is_wanted:
        return "off "
    if not process.up:
        return "DOWN"
    return "WARN" if process.problems else "up  "


def _styled(word: str) -> str:
    colours = {"DOWN": "red", "WARN": "yellow", "up  ": "green"}
    colour = colours.get(word)
    return click.style(word, fg=colour, bold=word.isupper()) if colour else word


def _coloured(line: str, processes: Sequence[ProcessStatus]) -> str:
    """Return a line of a process with the colour of its word."""
    for each in processes:
        begin = f"{each.name:<{_PROCESS_WIDTH}}{_word(each)}  "
        if line.startswith(begin):
            at = _PROCESS_WIDTH
            return f"{line[:at]}{_styled(_word(each))}{line[at + len(_word(each)) :]}"
    return line


def _figures(process: ProcessStatus) -> str:
    """Return what matters most of a process, in one line."""
    if not process.facts:
        return process.address
    makers = {
        "stream": _stream_figures,
        "tuner": _tuner_figures,
        "refresher": _refresher_figures,
        "server": _server_figures,
        "probe": _probe_figures,
        "sink": _sink_figures,
    }
    return ", ".join(part for part in makers[process.kind](process) if part)


def _stream_figures(process: ProcessStatus) -> list[str]:
    return [
        f"behind {duration(process.number('behind_seconds'))}",
        f"{process.number('behind_records'):,.0f} wait",
        _age(process, "reflected_age_seconds", "graph complete {} ago"),
        f"{process.number('recent_messages'):,.0f} messages in 5 min",
        f"{process.number('recent_quarantined'):,.0f} quarantined",
        f"{process.number('shards'):,.0f} shards",
    ]


def _tuner_figures(process: ProcessStatus) -> list[str]:
    return [
        _age(process, "last_success_age_seconds", "a run ended well {} ago"),
        _age(process, "run_began_age_seconds", "one runs for {}"),
        str(process.facts.get("generation") or "nothing published yet"),
    ]


def _refresher_figures(process: ProcessStatus) -> list[str]:
    return [
        _age(process, "overlay_age_seconds", "overlay {} old"),
        f"{process.number('overlay_items'):,.0f} items",
        f"{process.number('overlay_queries'):,.0f} queries",
        f"{process.number('waiting_changes'):,.0f} changes wait",
    ]


def _server_figures(process: ProcessStatus) -> list[str]:
    answers = process.number("answers")
    share = process.number("fresh_answers") / answers if answers else None
    return [
        _age(process, "overlay_age_seconds", "answers {} old")
        or _age(process, "snapshot_age_seconds", "graph {} old"),
        "" if share is None else f"{share:.1%} of {answers:,.0f} fresh",
        f"{process.number('requests'):,.0f} calls",
        str(process.facts.get("generation") or "no generation"),
    ]


def _probe_figures(process: ProcessStatus) -> list[str]:
    return [
        _age(process, "last_answer_age_seconds", "answered {} ago"),
        f"{process.number('answered'):,.0f} of {process.number('sent'):,.0f} answered",
        f"{process.number('lost'):,.0f} lost",
    ]


def _sink_figures(process: ProcessStatus) -> list[str]:
    return [
        _age(process, "behind_seconds", "behind {}"),
        f"{process.number('items'):,.0f} items",
    ]


def _age(process: ProcessStatus, name: str, words: str) -> str:
    value = process.facts.get(name)
    return words.format(duration(value)) if isinstance(value, float) else ""


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else f"{line[: width - 1]}…"


def _as_text(name: str, value: Value) -> str:
    words = name.removesuffix("_seconds").removesuffix("_age").replace("_", " ")
    if isinstance(value, str):
        return f"{words:<{_NAME_WIDTH}}{printable(value)}"
    if name.endswith("_age_seconds"):
        return f"{words:<{_NAME_WIDTH}}{duration(value or 0.0)} ago"
    if name.endswith("_seconds"):
        return f"{words:<{_NAME_WIDTH}}{duration(value or 0.0)}"
    if name.endswith(("_recall", "_overlap", "_cosine")):
        return f"{words:<{_NAME_WIDTH}}{value:.3f}"
    return f"{words:<{_NAME_WIDTH}}{value:,.0f}"
