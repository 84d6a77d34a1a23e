"""The tables of docs/architecture.md, from the code.

``python -m tests.docs.building`` writes them.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "architecture.md"
PACKAGES = ("protos", "stream", "model", "server", "freshet", "testing", "bench")
CLIENT = "freshet_client"
_FOLDERS = (*PACKAGES, f"clients/python/{CLIENT}", "native/freshet_native")
_PLACE = re.compile(r"<!-- building -->\n.*?<!-- end building -->", re.DOTALL)


def page_with_tables(text: str) -> str:
    """Return the page with a table a folder between its two marks."""
    tables = "\n\n".join(
        _table(folder) for package in _FOLDERS for folder in _folders(ROOT / package)
    )
    return _PLACE.sub(lambda _: f"<!-- building -->\n{tables}\n<!-- end building -->", text)


def _folders(top: Path) -> Iterator[Path]:
    return (
        path.parent for path in sorted(top.rglob("__init__.py"), key=lambda path: path.parent.parts)
    )


def _table(folder: Path) -> str:
    title = (
        f"### `{folder.relative_to(ROOT).as_posix()}/`\n\n{_first_sentence(folder / '__init__.py')}"
    )
    rows = [f"| `{path.name}` | {_first_sentence(path)} |" for path in modules_in(folder)]
    return "\n".join(
        [title, "", "| module | its one job |", "|---|---|", *rows] if rows else [title]
    )


def modules_in(folder: Path) -> list[Path]:
    """Return the modules of a folder, without `__init__.py` and generated stubs."""
    return sorted(
        path
        for path in folder.glob("*.py")
        if path.name != "__init__.py" and "_pb2" not in path.name
    )


def _first_sentence(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return " ".join(docstring.partition("\n\n")[0].split()).replace("``", "`").replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page_with_tables(PAGE.read_text("utf-8")), "utf-8")
