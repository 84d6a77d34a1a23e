"""Who may import whom outside the product: `testing`, `bench` and `tests`.

import-linter holds the packages of the product. These three are read with `ast`,
because test folders are no packages.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def modules(folder: str) -> list[Path]:
    """Return the Python files of a folder of the repository, relative to it."""
    return sorted(path.relative_to(ROOT) for path in (ROOT / folder).rglob("*.py"))


def imports_of(path: Path) -> Iterator[tuple[str, str]]:
    """Yield ``(module, name)`` of every import of a file, wherever in it.

    The name is empty for ``import module``.
    """
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)


def is_below(module: str, *packages: str) -> bool:
    """Return whether a module is one of some packages, or in one."""
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def may_import_from_tests(path: Path, module: str, name: str) -> bool:
    """Return whether a file of `tests` may import a name of another.

    Allowed are the types and constants of a conftest.py in one of its own folders, and,
    for the test of a page, the module that writes the page.
    """
    *folders, last = module.split(".")
    if last == "conftest":
        return path.parts[: len(folders)] == tuple(folders) and name[:1].isupper()
    return path.parts[:-1] == tuple(folders) and not last.startswith("test_")


@pytest.mark.parametrize("path", modules("testing"), ids=str)
def test_testing_imports_neither_tests_nor_bench(path: Path) -> None:
    """What tests and bench share is below both."""
    assert [module for module, _ in imports_of(path) if is_below(module, "tests", "bench")] == []


@pytest.mark.parametrize("path", modules("bench"), ids=str)
def test_bench_imports_no_tests(path: Path) -> None:
    """A measurement runs where no test is."""
    assert [module for module, _ in imports_of(path) if is_below(module, "tests")] == []


@pytest.mark.parametrize("path", modules("tests"), ids=str)
def test_tests_import_no_other_test(path: Path) -> None:
    """What two test modules need is in `testing`."""
    found = [pair for pair in imports_of(path) if is_below(pair[0], "tests")]

    assert [pair for pair in found if not may_import_from_tests(path, *pair)] == []


@pytest.mark.parametrize("path", modules("tests"), ids=str)
def test_only_the_tests_of_bench_import_it_and_only_what_is_public(path: Path) -> None:
    """No test reaches into a measurement, nor depends on one that it does not test."""
    found = [pair for pair in imports_of(path) if is_below(pair[0], "bench")]
    public = path.parts[:2] == ("tests", "bench")

    assert [pair for pair in found if not public or "._" in pair[0] or pair[1][:1] == "_"] == []


@pytest.mark.parametrize(
    "package", ["protos", "stream", "model", "server", "freshet", "clients", "examples", "deploy"]
)
def test_the_product_imports_none_of_them(package: str) -> None:
    """What is installed needs no test tool."""
    found = {str(path): [module for module, _ in imports_of(path)] for path in modules(package)}

    assert {
        path: bad
        for path, modules_ in found.items()
        if (bad := [name for name in modules_ if is_below(name, "testing", "bench", "tests")])
    } == {}


def test_types_of_what_builds_leave_are_not_checked() -> None:
    """A failed build leaves copies of modules, which would be there twice; nothing of
    the project is in such a folder.
    """
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (left_out,) = settings["tool"]["mypy"]["exclude"]

    assert re.search(left_out, "native/build/lib.linux-x86_64/freshet_native/__init__.py")
    for folder in settings["tool"]["mypy"]["files"]:
        own = [path for path in modules(folder) if "build" not in path.parts]
        assert not [path for path in own if re.search(left_out, path.as_posix())]
