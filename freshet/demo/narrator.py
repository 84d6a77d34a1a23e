"""Prints the demo: steps, waits, answers with their receipts, commands to try."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from freshet.logs.printable import printable
from freshet.terminal.output import duration
from freshet_client import RetrieveResult

_LINE_EVERY_SECONDS = 5.0
"""Between two lines about the same waiting, where output is no terminal: it shows that
something moves, without a long wait filling the log.
"""

_INDENT = "   "


class Narrator:
    """Prints the demo's story; on a terminal with colour and a spinner, elsewhere as
    plain lines.
    """

    def __init__(self) -> None:
        self._console = Console(highlight=False, markup=False, soft_wrap=True)
        self._started = time.monotonic()
        self._num_steps = 0

    def open(self, title: str) -> None:
        """Print the title."""
        self._print(title, "bold cyan")

    def step(self, text: str) -> None:
        """Print the title of the next step."""
        self._num_steps += 1
        self._print(f"\n{self._num_steps}. {text}", "bold")

    def note(self, text: str, style: str = "") -> None:
        """Print a line within a step."""
        self._print(_INDENT + text, style)

    @contextmanager
    def waiting(self, text: str) -> Iterator[Callable[[str], None]]:
        """Yield a function that shows the progress of a wait."""
        if self._console.is_terminal:
            with self._console.status(text) as status:
                yield lambda detail: status.update(f"{text}: {detail}" if detail else text)
        else:
            yield self._lines(text)

    def answer(self, query: str, kind: str, answer: RetrieveResult, highlight: str = "") -> None:
        """Show an answer and its receipt; `highlight` is an item id."""
        self._print(f'\n{_INDENT}"{printable(query)}"  ({printable(kind)})', "bold yellow")
        table = Table(box=box.SIMPLE_HEAD if self._console.is_terminal else None, padding=(0, 1))
        table.add_column("", justify="right", no_wrap=True, min_width=2)
        table.add_column("score", justify="right", no_wrap=True, min_width=6)
        table.add_column(
            "item",
            no_wrap=True,
            min_width=max((len(hit.item_id) for hit in answer.hits), default=4),
        )
        table.add_column("title", no_wrap=True, overflow="ellipsis")
        for rank, hit in enumerate(answer.hits, start=1):
            style = "bold green" if hit.item_id == highlight else ""
            cells = (str(rank), f"{hit.score:.3f}", hit.item_id, hit.title or "(no title)")
            table.add_row(*(Text(printable(cell)) for cell in cells), style=style)
        self._console.print(table)
        self._print(_INDENT + receipt_line(answer), "dim")

    def close(self, heading: str, commands: Sequence[str]) -> None:
        """End with commands to try."""
        self._print(f"\n{heading}", "bold cyan")
        for command in commands:
            self._print(_INDENT + command)

    @property
    def elapsed_seconds(self) -> float:
        """Seconds since the demo began."""
        return time.monotonic() - self._started

    def _print(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style=style))

    def _lines(self, text: str) -> Callable[[str], None]:
        written = time.monotonic()

        def say(detail: str) -> None:
            nonlocal written
            if time.monotonic() - written >= _LINE_EVERY_SECONDS:
                written = time.monotonic()
                self.note(f"{text}: {detail}" if detail else text)

        return say


def receipt_line(answer: RetrieveResult) -> str:
    """Return an answer's freshness receipt in words."""
    receipt = answer.receipt
    path = f"{answer.path} query" if answer.path else "query"
    overlay = f" with overlay {receipt.overlay_sequence}" if receipt.overlay_sequence else ""
    age = receipt.age_seconds if receipt.overlay_sequence else receipt.watermark_age_seconds
    reflected = "" if age is None else f", reflects all that came until {duration(age)} ago"
    return (
        f"receipt: {path}, generation {receipt.generation}{overlay}{reflected}, trained on a graph "
        f"{duration(receipt.snapshot_age_seconds)} old"
    )
