"""The architecture page must not drift from the code."""

import ast
import re
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest
from setuptools import find_packages

from tests.docs.building import CLIENT, PACKAGES, PAGE, ROOT, modules_in, page_with_tables


def test_the_tables_are_those_of_the_code() -> None:
    """Where this fails, `python -m tests.docs.building` brings the page up to date."""
    text = PAGE.read_text(encoding="utf-8")

    assert text == page_with_tables(text)


@pytest.mark.parametrize("package", ["stream", "model", "server", "freshet"])
def test_the_map_has_every_folder_of_a_package(package: str) -> None:
    """What the page shows on one screen leaves no folder out."""
    shown = PAGE.read_text(encoding="utf-8").split("```")[1]
    (part,) = re.findall(rf"^{package}/.*\n((?:  .*\n)*)", shown, re.MULTILINE)
    folders = {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}

    named = {name for line in part.splitlines() for name in re.findall(r"(\w+)/", line)}
    first = re.search(rf"^{package}/.*$", shown, re.MULTILINE)
    assert first is not None
    named |= set(re.findall(r"(\w+)/", first[0]))
    assert folders - named == set()


def _folders() -> list[Path]:
    """Return every folder of our packages that holds Python files, and those above."""
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    inside = {folder for path in files for folder in path.relative_to(ROOT).parents}
    return sorted(ROOT / folder for folder in inside if folder.name)


@pytest.mark.parametrize("folder", _folders(), ids=lambda folder: str(folder.relative_to(ROOT)))
def test_a_folder_has_one_job_and_at_most_twelve_modules(folder: Path) -> None:
    """Its `__init__.py` says the job; the thirteenth module asks for a cut."""
    init = folder / "__init__.py"

    assert init.exists()
    assert ast.get_docstring(ast.parse(init.read_text("utf-8")))
    assert len(modules_in(folder)) <= 12


def test_every_package_is_installed() -> None:
    """An installed Freshet has the folders of all packages."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = project["tool"]["importlinter"]["root_packages"]
    folders = {
        path.parent for package in packages for path in (ROOT / package).rglob("__init__.py")
    }
    found = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    included = project["tool"]["setuptools"]["packages"]["find"]["include"]

    assert set(find_packages(str(ROOT), include=included)) == found


@pytest.mark.parametrize(
    "link", ["architecture.md", "formats.md", "operations.md", "benchmarks.md", "decisions"]
)
def test_the_readme_links_to_pages_that_exist(link: str) -> None:
    """Every page that the README promises is there."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert f"docs/{link}" in readme
    assert (ROOT / "docs" / link).exists()


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_a_page_names_files_that_exist(page: Path) -> None:
    """A file that moved is named where it is now."""
    rooms = "|".join((*PACKAGES, "bench", "clients", "deploy", "native", "testing", "tests"))
    named = re.findall(rf"`((?:{rooms})/[\w./-]+\.\w+)`", page.read_text(encoding="utf-8"))

    assert [path for path in named if not (ROOT / path).exists()] == []


def test_no_two_files_import_each_other() -> None:
    """Files are built on each other in one order: no circle, however long."""
    graph = grimp.build_graph(*PACKAGES, CLIENT)
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}

    assert len(list(TopologicalSorter(imports).static_order())) == len(imports)


def test_hashing_texts_loads_no_database() -> None:
    """Who wants the texts of a graph does not pay for RocksDB, fsspec, Prometheus."""
    code = "import sys, model.data.texts; print(*sorted(sys.modules))"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()

    assert {"rocksdict", "fsspec", "prometheus_client", "torch", "kafka"} & set(found) == set()


def test_streaming_files_loads_no_client_of_kafka(tmp_path: Path) -> None:
    """Who reads files into a store without checkpoints does not wait for Kafka's
    clients, nor for fsspec.
    """
    code = (
        "import sys, freshet.commands.services.stream\n"
        "from stream.settings import StreamSettings\n"
        "from stream.store.store import Store\n"
        "from pathlib import Path\n"
        "with Store.create_or_open(Path(sys.argv[1]), StreamSettings(), 1): pass\n"
        "print(*sorted(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "store")]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    assert {"fsspec", "kafka", "confluent_kafka", "torch"} & set(found.stdout.split()) == set()


def test_contributors_are_led_to_every_how_to() -> None:
    """Each how-to page has its line in CONTRIBUTING.md, and each line its page."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    pages = {path.name for path in (ROOT / "docs" / "how-to").glob("*.md")}

    assert set(re.findall(r"\(docs/how-to/([\w-]+\.md)\)", text)) == pages
