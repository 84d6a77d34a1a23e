"""Every numeric constant says why it has its value.

A comment on its line or above it, or a docstring below it; one may speak for a group of
numbers of one kind, in lines without a gap. A reader then knows
its unit, where it comes from and what twice as much would do without `git blame`.
"""

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.docs.building import ROOT

FOLDERS = ("protos", "stream", "model", "server", "freshet", "clients")

WITHOUT_REASONS: set[str] = set()
"""Folders whose constants are still being given their reasons; a folder leaves the set
once the test would pass without it.
"""


class Number(NamedTuple):
    """A numeric constant of a module or a class.

    Attributes:
        name: what it is assigned to.
        line: its first line, counted from 1.
        has_reason: whether a comment or a docstring stands beside it.
    """

    name: str
    line: int
    has_reason: bool


def numbers_in(source: str) -> list[Number]:
    """Return the numeric constants of a module and of its classes, settings' defaults
    among them.
    """
    return [
        Number(name, statement.lineno, _has_reason(name, statement, following, owner, source))
        for owner, body in _bodies(ast.parse(source))
        for statement, following in zip(body, [*body[1:], None], strict=True)
        for name in _names(statement)
    ]


def _bodies(module: ast.Module) -> Iterator[tuple[ast.ClassDef | None, list[ast.stmt]]]:
    yield None, module.body
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef):
            yield node, node.body


def _names(statement: ast.stmt) -> list[str]:
    """Return the names that a statement gives numbers to."""
    if isinstance(statement, ast.Assign):
        targets, value = statement.targets, statement.value
    elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
        targets, value = [statement.target], statement.value
    else:
        return []
    return [ast.unparse(target) for target in targets] if _is_number(value) else []


def _is_number(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return type(node.value) in {int, float}
    if isinstance(node, ast.UnaryOp):
        return _is_number(node.operand)
    if isinstance(node, ast.BinOp):
        return _is_number(node.left) and _is_number(node.right)
    return isinstance(node, ast.Tuple) and bool(node.elts) and all(map(_is_number, node.elts))


def _has_reason(
    name: str,
    statement: ast.stmt,
    following: ast.stmt | None,
    owner: ast.ClassDef | None,
    source: str,
) -> bool:
    lines = source.splitlines()
    own = lines[statement.lineno - 1 : statement.end_lineno]
    if any("#" in line for line in own) or _is_comment(lines, statement.lineno - 1):
        return True
    if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
        return True
    if owner is not None and f" {name}: " in (ast.get_docstring(owner) or ""):
        return True
    return _group_has_comment(lines, statement) or _group_has_docstring(lines, statement)


def _group_has_comment(lines: Sequence[str], statement: ast.stmt) -> bool:
    """Whether a comment stands above the lines without a gap that a number is among:
    one reason may speak for numbers of one kind.
    """
    first = statement.lineno - 1
    while first > 0 and lines[first - 1].strip() and not lines[first - 1].strip().startswith("#"):
        first -= 1
    return _is_comment(lines, first)


def _group_has_docstring(lines: Sequence[str], statement: ast.stmt) -> bool:
    """Whether a docstring stands below the lines without a gap."""
    last = statement.lineno
    while last < len(lines) and lines[last].strip() and '"""' not in lines[last]:
        last += 1
    return last < len(lines) and lines[last].strip().startswith('"""')


def _is_comment(lines: Sequence[str], index: int) -> bool:
    return index > 0 and lines[index - 1].strip().startswith("#")


def _modules(folder: str) -> list[Path]:
    return [path for path in sorted((ROOT / folder).rglob("*.py")) if "_pb2" not in path.name]


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_number_says_why(folder: str) -> None:
    """A new constant without a reason is named with its file and line; so is a folder
    that no longer needs its exception.
    """
    silent = [
        f"{path.relative_to(ROOT)}:{number.line}: {number.name}"
        for path in _modules(folder)
        for number in numbers_in(path.read_text(encoding="utf-8"))
        if not number.has_reason
    ]
    if folder in WITHOUT_REASONS:
        assert silent, f"{folder} has a reason beside every number: take it out of the set"
    else:
        assert not silent, "\n".join(silent)


@pytest.mark.parametrize(
    ("source", "silent"),
    [
        ("A = 5", ["A"]),
        ("A = 1 << 16\nB = 64 * 1024", ["A", "B"]),
        ("A = (0.5, -1.0)\nB: int = 7", ["A", "B"]),
        ("A = 5  # seconds\n", []),
        ("# Seconds.\nA = 5\nB = 6", []),
        ("# Seconds.\nA = 5\n\nB = 6", ["B"]),
        ('A = 5\nB = 6\n"""Seconds."""', []),
        ('A = 5\n"""Seconds."""', []),
        ("# Seconds.\n\nA = 5", ["A"]),
        ("# Layout.\nA = 1\nFORMAT_VERSION = 3\n\nB = 9", ["B"]),
        ("A = 1", ["A"]),
        ("# Of a hash.\nA = 0x9E37\nB = 0x85EB\n\nC = 12", ["C"]),
        ("class S:\n    wait: float = 5.0\n    is_on: bool = True", ["wait"]),
        (
            'class S:\n    """S.\n\n    Attributes:\n        wait: s.\n    """\n\n    wait = 5',
            [],
        ),
        ("# Stored.\nclass K(IntEnum):\n    # Stored.\n    A = 1\n    B = 7", []),
        ("A = 'x'\nB = len('x')\nC = ()\ndef f() -> None:\n    d = 5", []),
    ],
)
def test_a_number_without_a_reason_is_found(source: str, silent: list[str]) -> None:
    """Reasons beside, above and below count; one that stands apart does not."""
    assert [number.name for number in numbers_in(source) if not number.has_reason] == silent
