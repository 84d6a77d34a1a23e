"""A class changes little: steps with many variables are functions, their locals the
state.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from functools import cache

import pytest

from tests.docs.building import PACKAGES, ROOT

MOST_CHANGING = 7
"""Attributes of a class that may change after `__init__`.

With twice as many no reader can say which method may be called when.
"""

_MAKING = {"__init__", "__post_init__", "__new__"}
_MUTATORS = {
    *("append", "appendleft", "extend", "extendleft", "insert", "sort", "reverse"),
    *("add", "update", "setdefault", "difference_update", "intersection_update"),
    *("symmetric_difference_update", "pop", "popleft", "popitem", "remove", "discard", "clear"),
}


def changing_attributes(source: str, others: Iterable[str] = ()) -> dict[str, set[str]]:
    """Return which attributes each class of a module changes after it was made.

    Assigned, deleted, or changed in place, by its own methods; of a dataclass that is
    not frozen also by anybody else.

    Args:
        source: of the module.
        others: the sources of all modules; those that name a dataclass may change it.
    """
    tree = ast.parse(source)
    found: dict[str, set[str]] = {}
    for cls in ast.walk(tree):
        if isinstance(cls, ast.ClassDef):
            methods = [part for part in cls.body if isinstance(part, ast.FunctionDef)]
            found[cls.name] = {
                name
                for method in methods
                if method.name not in _MAKING and method.args.args
                for owner, name in _changes(method)
                if owner == method.args.args[0].arg
            }
            if _is_open_dataclass(cls):
                found[cls.name] |= _fields(cls) & _names_changed(source)
                for other in others:
                    if cls.name in other:
                        found[cls.name] |= _fields(cls) & _names_changed(other)
    return found


@cache
def _names_changed(source: str) -> set[str]:
    return {name for _, name in _changes(ast.parse(source))}


def _changes(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield (name, attribute) of every ``name.attribute`` that is changed; an empty
    name: it is reached through something else.
    """
    for node in ast.walk(tree):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign | ast.Delete):
            targets = node.targets
        elif isinstance(node, ast.AugAssign | ast.AnnAssign | ast.For | ast.comprehension):
            targets = [node.target]
        elif isinstance(node, ast.withitem) and node.optional_vars is not None:
            targets = [node.optional_vars]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            targets = [node.func.value] if node.func.attr in _MUTATORS else []
        for target in targets:
            yield from _attributes(target)


def _attributes(target: ast.expr) -> Iterator[tuple[str, str]]:
    """Yield every attribute on the way to what is changed: of ``a.b[0].c`` both."""
    if isinstance(target, ast.Tuple | ast.List):
        for part in target.elts:
            yield from _attributes(part)
    elif isinstance(target, ast.Subscript | ast.Starred):
        yield from _attributes(target.value)
    elif isinstance(target, ast.Attribute):
        owner = target.value
        yield (owner.id if isinstance(owner, ast.Name) else "", target.attr)
        yield from _attributes(owner)


def _is_open_dataclass(cls: ast.ClassDef) -> bool:
    """Whether a class is a dataclass whose fields may be assigned."""
    for decorator in cls.decorator_list:
        text = ast.unparse(decorator)
        if text.startswith("dataclass") and "frozen=True" not in text:
            return True
    return False


def _fields(cls: ast.ClassDef) -> set[str]:
    return {
        part.target.id
        for part in cls.body
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)
    }


@cache
def _all_changing() -> Mapping[str, set[str]]:
    """Return the changing attributes of all classes, by package, module and class."""
    sources = {
        path.relative_to(ROOT).as_posix(): path.read_text("utf-8")
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if "_pb2" not in path.name
    }
    return {
        f"{place}:{name}": attributes
        for place, source in sources.items()
        for name, attributes in changing_attributes(source, sources.values()).items()
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_no_class_changes_many_attributes(package: str) -> None:
    """Where this fails, make a function of the steps, with locals, and values for what
    they pass on.
    """
    over = {
        place.rpartition(":")[2]: sorted(attributes)
        for place, attributes in _all_changing().items()
        if place.startswith(f"{package}/") and len(attributes) > MOST_CHANGING
    }

    assert over == {}


def test_every_kind_of_change_is_seen() -> None:
    """Assigning, adding, deleting, unpacking, changing in place and through another
    name all count; what `__init__` does and what is only read does not.
    """
    source = """
@dataclass
class Totals:
    seen: int
    kept: int
    late: bool
    never: int

class Worker:
    def __init__(self):
        self.fixed = self.a = 0
    def step(self, totals):
        self.a, (self.b, *self.c) = 1, (2, 3)
        self.d += self.fixed
        self.e[0]["x"] = 1
        self.f.append(1)
        del self.g
        self.totals.seen += 1
        for self.h in ():
            with open("") as self.i:
                self.j: int = 1
        totals.kept, other = 2, self.fixed.copy()
"""
    elsewhere = "def close(totals: Totals) -> None: totals.late = True"
    found = changing_attributes(source, [elsewhere, "def other(one): one.never = 1"])

    assert sorted(found["Worker"]) == [*"abcdefghij", "totals"]
    assert sorted(found["Totals"]) == ["kept", "late", "seen"]
