"""The examples do what their docstrings print, in the order in which they tell."""

import ast
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import psycopg
import pytest

from deploy.kafka.broker import free_port
from stream.quarantine.file import FILE_NAME
from testing.processes.postgres import LocalPostgres
from testing.retrieval_server import serving, wait_until

_EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
_PROGRAMS = {"python": [sys.executable], "freshet": [sys.executable, "-m", "freshet"]}


def _printed_commands(name: str) -> list[list[str]]:
    """The command lines that an example's docstring prints, after a double colon."""
    docstring = ast.get_docstring(ast.parse((_EXAMPLES / name).read_text("utf-8"))) or ""
    blocks = re.findall(r"::\n\n((?:    .+\n?)+)", docstring)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line.strip()]


def _ended(command: list[str], folder: Path, **replaced: str) -> "subprocess.CompletedProcess[str]":
    """Run a printed command in a folder, with addresses replaced."""
    program, *arguments = command
    given = [replaced.get(argument, argument) for argument in arguments]
    return subprocess.run(
        [*_PROGRAMS[program], *given], cwd=folder, capture_output=True, text=True, check=False
    )


def _run(command: list[str], folder: Path, **replaced: str) -> str:
    """Run a printed command, and return what it prints."""
    done = _ended(command, folder, **replaced)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that has `examples/`, and where the first example was followed."""
    path = tmp_path_factory.mktemp("examples")
    (path / "examples").symlink_to(_EXAMPLES)
    for command in _printed_commands("publish_to_file.py"):
        _run(command, path)
    return path


def test_every_example_is_run_here_and_listed() -> None:
    """No example is without a printed command, a test, and a line in the README."""
    names = {path.name for path in _EXAMPLES.glob("*.py")}
    readme = (_EXAMPLES / "README.md").read_text("utf-8")

    assert all(_printed_commands(name) for name in names)
    assert all(f'("{name}")' in Path(__file__).read_text("utf-8") for name in names)
    assert set(re.findall(r"\]\((\w+\.py)\)", readme)) == names


def test_published_files_become_a_generation(folder: Path) -> None:
    """All that the first example writes is accepted, and a generation comes of it."""
    events = (folder / "shop" / "events.jsonl").read_text("utf-8").splitlines()
    stats = json.loads(
        _run(["freshet", "graph", "stats", "--store", "shop/store", "--json"], folder)
    )

    assert len(events) == 600
    assert {json.loads(line)["type"] for line in events} == {"search_click"}
    assert (stats["facts"], stats["sessions"], stats["catalog_items"]) == (600, 300, 30)
    assert stats["hyperedges"] > 0
    assert (folder / "shop" / "artifacts" / "CURRENT").exists()


def test_a_generation_is_read(folder: Path) -> None:
    """The vectors answer the query with what was clicked for it."""
    (command,) = _printed_commands("read_generation.py")
    first, best, *_ = _run(command, folder).splitlines()

    assert "30 items" in first
    assert best.split()[1] == "mug-red"


def test_a_server_is_asked(folder: Path) -> None:
    """The answer over gRPC is what was clicked, with its freshness."""
    (command,) = _printed_commands("retrieve.py")
    told: list[str] = []

    def is_answered() -> bool:
        told[:] = _ended(command, folder, **replaced).stdout.splitlines()
        return bool(told)

    with serving(folder / "shop" / "artifacts") as serve:
        replaced = {"127.0.0.1:50051": serve().address}
        # A busy machine may take longer than the half second that it gives the server.
        wait_until(is_answered, "an answer in half a second")

    best, *_, last = told
    assert best.split()[1] == "mug-red"
    assert re.fullmatch(r"a known query; answered from the graph as it was \d+ s ago", last)


def test_postgresql_is_asked(folder: Path) -> None:
    """What a sink has written answers a known query and a new one, as a server does."""
    (command,) = _printed_commands("ask_postgres.py")
    with LocalPostgres() as server:
        conninfo = server.create("shop")
        arguments = ["--artifacts", "shop/artifacts", "--database", conninfo]
        with subprocess.Popen(
            [*_PROGRAMS["freshet"], "sink", *arguments, "--metrics", f"127.0.0.1:{free_port()}"],
            cwd=folder,
        ) as sink:
            wait_until(lambda: _is_live(conninfo), "the sink has written a generation")
            replaced = {"host=db dbname=shop": conninfo}
            known = _run(command, folder, **replaced).splitlines()
            new = _run([*command[:-1], "mug of red"], folder, **replaced).splitlines()
            sink.terminate()
        assert sink.returncode == 0

    assert [line.split()[1] for line in (known[0], new[0])] == ["mug-red", "mug-red"]
    assert len(known) == len(new) == 10


def _is_live(conninfo: str) -> bool:
    with psycopg.connect(conninfo) as connection:
        row = connection.execute("SELECT to_regclass('freshet.items') IS NOT NULL").fetchone()
    return row == (True,)


def test_kafka_gets_what_the_stream_accepts(
    tmp_path: Path, kafka_bootstrap: str, kafka_topics: Callable[..., Mapping[str, str]]
) -> None:
    """The stream takes each published record, and none is quarantined."""
    topics = kafka_topics(partitions=3)
    (tmp_path / "examples").symlink_to(_EXAMPLES)
    (command,) = _printed_commands("publish_to_kafka.py")
    prefix = topics["clicks"].removesuffix("clicks")
    _run(command, tmp_path, **{"localhost:9092": kafka_bootstrap, "freshet.": prefix})
    settings = {f"{kind}_topic": topic for kind, topic in topics.items()}
    settings["group_id"] = prefix
    worker = [sys.executable, "-m", "testing.processes.worker", str(tmp_path / "store")]
    with subprocess.Popen(
        [*worker, f"kafka:{kafka_bootstrap}", json.dumps(settings)],
        cwd=_EXAMPLES.parent,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        applied = next(line for line in process.stdout if line.strip() in {"6", "done"})
        process.terminate()
        process.stdout.read()
    stats = _run(["freshet", "graph", "stats", "--store", "store", "--json"], tmp_path)

    assert applied.strip() == "6"
    assert json.loads(stats).items() >= {"facts": 3, "sessions": 2, "catalog_items": 3}.items()
    assert not (tmp_path / "store" / FILE_NAME).exists()
