"""The architecture page must not drift from the code."""

import tomllib
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parent.parent.parent
_PAGE = (_ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
_IN_EVERY_ROOM = {"__init__", "__main__", "settings", "errors", "metrics"}


def _section(room: str) -> str:
    return _PAGE.split(f"### `{room}/`")[1].split("\n### ")[0]


def _modules(room: str) -> list[str]:
    names = [path.stem for path in sorted((_ROOT / room).rglob("*.py"))]
    return [name for name in names if name not in _IN_EVERY_ROOM and "_pb2" not in name]


@pytest.mark.parametrize("room", ["protos", "stream", "model", "server", "freshet"])
def test_every_module_is_on_the_page(room: str) -> None:
    """A newcomer finds each module of a room in the room's table."""
    missing = [name for name in _modules(room) if f"`{name}.py`" not in _section(room)]

    assert missing == []


@pytest.mark.parametrize("room", ["protos", "stream", "model", "server", "freshet"])
def test_every_module_on_the_page_exists(room: str) -> None:
    """The table names no module that is gone."""
    named = [
        word.strip("`") for word in _section(room).split() if word.startswith("`") and word.endswith(".py`")
    ]

    assert [name for name in named if not list((_ROOT / room).rglob(name))] == []


def test_every_package_is_installed() -> None:
    """An installed Freshet has the folders of the rooms, too."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    rooms = project["tool"]["importlinter"]["root_packages"]
    folders = {path.parent for room in rooms for path in (_ROOT / room).rglob("__init__.py")}
    found = {".".join(folder.relative_to(_ROOT).parts) for folder in folders}

    assert set(project["tool"]["setuptools"]["packages"]) == found


@pytest.mark.parametrize(
    "link", ["architecture.md", "formats.md", "operations.md", "benchmarks.md", "decisions"]
)
def test_the_readme_links_to_pages_that_exist(link: str) -> None:
    """Every page that the README promises is there."""
    readme = (_ROOT / "README.md").read_text(encoding="utf-8")

    assert f"docs/{link}" in readme
    assert (_ROOT / "docs" / link).exists()
