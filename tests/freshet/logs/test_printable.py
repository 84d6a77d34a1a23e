"""What is shown of text that others wrote."""

import json
import logging

from freshet.logs.lines import JsonLines, TextLines
from freshet.logs.printable import printable, printable_json

EVIL = "a\x1b[31mb\x9b31m\x7f\nc\u2028d\u202egnp\u2066e\u2069"
KEPT = "日本語\u3000👩\u200d🔬 שלום مرحبا\u200f e\u0301"


def test_what_a_terminal_acts_on_is_replaced() -> None:
    """Every script is kept, with the joiners and marks of direction that it needs."""
    assert printable(EVIL) == "a\ufffd[31mb\ufffd31m\ufffd\ufffdc\ufffdd\ufffdgnp\ufffde\ufffd"
    assert printable(KEPT) == KEPT


def test_json_says_the_same_in_escapes() -> None:
    """JSON allows U+009B and overrides of the direction as they are; terminals act."""
    line = json.dumps({EVIL: [EVIL, KEPT]}, ensure_ascii=False)

    shown = printable_json(line)

    assert json.loads(shown) == {EVIL: [EVIL, KEPT]}
    assert printable(shown) == shown
    assert KEPT in shown


def test_a_log_line_is_one_line() -> None:
    """Whatever a registry, a broker or a file name has put into it."""
    record = logging.LogRecord("x", logging.ERROR, "x.py", 1, "failed why=%s", (EVIL,), None)
    try:
        int(EVIL)
    except ValueError as error:
        record.exc_info = (type(error), ValueError(EVIL), error.__traceback__)

    first, *traceback = TextLines().format(record).split("\n")

    assert first.endswith(f"failed why={printable(EVIL)}")
    assert traceback[0].startswith("Traceback")
    assert not any("\x1b" in line or "\x9b" in line for line in traceback)
    told = JsonLines().format(record)
    assert printable(told) == told
    assert json.loads(told)["fields"] == {"why": EVIL}
