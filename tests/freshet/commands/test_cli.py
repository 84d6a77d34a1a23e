"""Tests of the command line: what scripts rely on."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from freshet.commands.cli import SECTIONS, cli

Command = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).resolve().parents[3]

CLICK = {
    "type": "search_click",
    "session_id": "s1",
    "user_id": "u1",
    "query": "Red Shoes!",
    "item_id": "i1",
}
EVENTS = [
    {"ts_ms": 1_760_000_000_000, **CLICK},
    {"ts_ms": 1_760_000_001_000, **CLICK, "item_id": "i2"},
    {"ts_ms": 1_760_000_002_000, **CLICK, "query": "#"},
]
ITEMS = [{"item_id": "i1", "title": "Red shoes"}, {"item_id": "i2", "title": "Redder shoes"}]


def _write_lines(path: Path, lines: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def store(tmp_path: Path, run: Command) -> Path:
    """A store with two clicks, two items, and one record in quarantine."""
    events = _write_lines(tmp_path / "e.jsonl", EVENTS)
    items = _write_lines(tmp_path / "i.jsonl", ITEMS)  # type: ignore[arg-type]  # invariant
    path = tmp_path / "shop.store"
    outcome = run(
        "stream", "--source", f"file:{events}", "--catalog", f"file:{items}", "--store", path
    )
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout == ""
    assert "4 events applied, 2 new facts, 1 quarantined" in outcome.stderr
    return path


def _leaves(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(command, click.Group):
        return [path]
    return [
        leaf for name, each in command.commands.items() for leaf in _leaves(each, (*path, name))
    ]


def test_help_reads_like_the_product(run: Command) -> None:
    """Every command is in its section, with what it does."""
    text = run("--help").stdout

    for title, commands in SECTIONS.items():
        assert f"{title}:" in text
        for command in commands:
            assert command.get_short_help_str(limit=88) in " ".join(text.split())


@pytest.mark.parametrize("path", _leaves(cli), ids=" ".join)
def test_examples_are_lines_to_copy(path: tuple[str, ...]) -> None:
    """Help shows an example on a line of its own, and no mark-up."""
    command: click.Command = cli
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    shown = command.get_help(click.Context(command, info_name=" ".join(path), terminal_width=110))
    examples = [
        line.strip() for line in (command.help or "").splitlines() if line.startswith("freshet ")
    ]

    assert "\\b" not in shown
    assert set(examples) <= {line.strip() for line in shown.splitlines()}


@pytest.mark.parametrize("path", _leaves(cli), ids=" ".join)
def test_every_command_explains_itself(path: tuple[str, ...], run: Command) -> None:
    """Each command and each of its options has help."""
    outcome = run(*path, "--help")
    command: click.Command = cli
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]

    assert outcome.returncode == 0
    assert command.help
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, f"{' '.join(path)} {option.name}"


@pytest.mark.parametrize(
    ("path", "options"),
    [
        (
            ("stream",),
            {
                "--source",
                "--catalog",
                "--store",
                "--follow",
                "--checkpoints",
                "--metrics",
                "--config",
            },
        ),
        (("tune",), {"--store", "--artifacts", "--every", "--metrics", "--config"}),
        (("serve",), {"--artifacts", "--listen", "--metrics", "--config"}),
        (("snapshot",), {"--store", "--out"}),
        (("train",), {"--store", "--snapshot", "--artifacts", "--budget", "--seed"}),
        (("query",), {"-k", "--target", "--json"}),
        (("graph", "dump"), {"--store", "--snapshot", "--format", "--at"}),
        (("graph", "hash"), {"--store", "--snapshot"}),
        (("graph", "stats"), {"--store", "--snapshot", "--json"}),
        (("generations", "list"), {"--artifacts", "--json"}),
        (("generations", "use"), {"--artifacts", "--json"}),
        (("status",), {"--stream", "--tuner", "--server", "--json"}),
        (("config",), {"--config", "--json"}),
        (("demo",), {"--events", "--items", "--keep", "--dir"}),
        (("simulate",), {"--seed", "--items", "--events", "--out", "--follow", "--rate", "--to"}),
        (("replay",), {"--events", "--items", "--to", "--speed", "--encoding", "--batch"}),
        (("quarantine", "list"), {"--store", "--json"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_the_options_that_scripts_use_are_there(path: tuple[str, ...], options: set[str]) -> None:
    """These names are a contract."""
    command: click.Command = cli
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]

    assert options <= {name for option in command.params for name in option.opts}


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    """Nobody waits for torch to read a help text."""
    code = (
        "import sys\n"
        "from freshet import process\n"
        "from freshet.commands.cli import cli\n"
        "process.run(cli, ['--help'])\n"
        "heavy = {'torch', 'rocksdict', 'kafka', 'grpc', 'numpy', 'rich', 'prometheus_client'}\n"
        "heavy &= set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)\n"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert outcome.returncode == 0, outcome.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nope"], "No such command 'nope'"),
        (["stream", "--store", "x"], "Missing option '--source'"),
        (["stream", "--source", "ftp:x", "--store", "x"], "neither file:PATH_OR_GLOB nor kafka:"),
        (["stream", "--source", "kafka:here", "--store", "x"], "must be HOST:PORT"),
        (
            ["stream", "--source", "kafka:h:1", "--source", "file:x", "--store", "x"],
            "one kafka: source",
        ),
        (["stream", "--source", "kafka:h:1", "--follow", "--store", "x"], "are for file: sources"),
        (
            ["stream", "--source", "file:x", "--store", "x", "--checkpoints", "c"],
            "is for a kafka: source",
        ),
        (
            ["stream", "--source", "file:x", "--catalog", "kafka:h:1", "--store", "x"],
            "--catalog takes file:PATH",
        ),
        (
            ["tune", "--store", "x", "--artifacts", "y", "--every", "often"],
            "'often' is not a duration",
        ),
        (["graph", "hash"], "either --store DIR or --snapshot DIR"),
        (
            ["graph", "hash", "--store", "x", "--snapshot", "y"],
            "either --store DIR or --snapshot DIR",
        ),
        (["train", "--artifacts", "x"], "either --store DIR or --snapshot DIR"),
        (["query", "x", "-k", "0"], "'-k'"),
        (["replay", "--events", "x", "--to", "kafka:h:1", "--speed", "-2"], "times real time"),
        (["demo", "--items", "x"], "--items goes with --events"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_code_2(
    arguments: list[str], said: str, run: Command
) -> None:
    """Usage errors say what is wrong and where the help is."""
    outcome = run(*arguments)

    assert outcome.returncode == 2
    assert outcome.stderr.startswith("freshet: error: ")
    assert outcome.stderr.count("\n") == 1
    assert said in outcome.stderr
    assert outcome.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["graph", "hash", "--store", "nowhere"], "no store at nowhere"),
        (["graph", "dump", "--snapshot", "nowhere"], "nowhere"),
        (["snapshot", "--store", "nowhere", "--out", "x"], "no store at nowhere"),
        (["train", "--store", "nowhere", "--artifacts", "x"], "no store at nowhere"),
        (["train", "--snapshot", "nowhere", "--artifacts", "x"], "nowhere"),
        (["stream", "--source", "file:nowhere", "--store", "x"], "no file matches nowhere"),
        (["serve", "--artifacts", "nowhere"], "artifacts folder nowhere is not there"),
        (["generations", "list", "--artifacts", "nowhere"], "nowhere: there is no such folder"),
        (["quarantine", "list", "--store", "nowhere"], "nowhere: there is no store"),
        (["query", "x", "--target", "127.0.0.1:1"], "no retrieval server answers at 127.0.0.1:1"),
        (["demo", "--events", "nowhere"], "nowhere cannot be read"),
    ],
)
def test_what_is_not_there_is_one_line_and_code_1(
    arguments: list[str], said: str, spawn: Command
) -> None:
    """A missing store, file, folder or server is said in one line, as a process of its
    own says it.
    """
    outcome = spawn(*arguments)

    errors = [line for line in outcome.stderr.splitlines() if line.startswith("freshet: error: ")]
    assert outcome.returncode == 1, outcome.stderr
    assert len(errors) == 1
    assert said in errors[0]
    assert "Traceback" not in outcome.stderr
    assert outcome.stdout == ""


def test_a_wrong_setting_refuses_to_start(tmp_path: Path, spawn: Command) -> None:
    """Also one of a room that the command does not use.

    It would be wrong for the next command.
    """
    (tmp_path / "freshet.toml").write_text("[model]\ndimm = 3\n")

    outcome = spawn("graph", "hash", "--store", "x", "--config", "freshet.toml")

    assert outcome.returncode == 2
    assert "freshet.toml: [model]: unknown key dimm; did you mean dim?" in outcome.stderr
    assert spawn("config", FRESHET_SERVER_MAX_K="x").returncode == 2


def test_the_graph_can_be_looked_at(store: Path, run: Command, tmp_path: Path) -> None:
    """Dump, hash and stats agree between a store and its snapshot."""
    snapshot = tmp_path / "snap"
    assert run("snapshot", "--store", store, "--out", snapshot).returncode == 0

    lines = [
        json.loads(line) for line in run("graph", "dump", "--store", store).stdout.splitlines()
    ]
    stats = json.loads(run("graph", "stats", "--store", store, "--json").stdout)

    assert [(line["kind"], line.get("query"), line.get("item")) for line in lines] == [
        ("edge", "red shoes", "i1"),
        ("edge", "red shoes", "i2"),
        ("hyperedge", None, None),
    ]
    assert lines[0]["weight"] == pytest.approx(2 ** (-1 / (30 * 86_400)))
    assert stats["facts"] == 2
    assert stats["catalog_items"] == 2
    for command in (["hash"], ["dump"], ["dump", "--at", 1_770_000_000_000]):
        of_store = run("graph", *command, "--store", store).stdout
        assert of_store == run("graph", *command, "--snapshot", snapshot).stdout
        assert of_store
    assert "facts" in run("graph", "stats", "--snapshot", snapshot).stdout


def test_weights_are_taken_at_the_time_that_is_asked_for(store: Path, run: Command) -> None:
    """Half a weight is left after a half-life, and action weights can be set when
    reading.
    """
    at_ms = EVENTS[0]["ts_ms"] + 30 * 86_400_000  # type: ignore[operator]  # an int

    first = json.loads(run("graph", "dump", "--store", store, "--at", at_ms).stdout.splitlines()[0])

    assert first["weight"] == pytest.approx(0.5)


def test_a_second_pass_over_the_same_files_changes_nothing(
    store: Path, run: Command, tmp_path: Path
) -> None:
    """What is applied is not applied again."""
    before = run("graph", "hash", "--store", store).stdout

    outcome = run("stream", "--source", f"file:{tmp_path}/e.jsonl", "--store", store)

    assert outcome.returncode == 0
    assert "0 new facts" in outcome.stderr
    assert run("graph", "hash", "--store", store).stdout == before


def test_the_quarantine_can_be_listed(store: Path, run: Command) -> None:
    """Reason and place for people, all of it for scripts."""
    (entry,) = [
        json.loads(line)
        for line in run("quarantine", "list", "--store", store, "--json").stdout.splitlines()
    ]

    assert entry["reason"] == "empty_query"
    assert "empty_query" in run("quarantine", "list", "--store", store).stdout
    assert (
        run("quarantine", "list", "--store", store, "--reason", "malformed").stdout
        == "nothing is quarantined\n"
    )


def test_config_shows_every_key(run: Command, tmp_path: Path) -> None:
    """For people a table, for scripts a list; both say where a value comes from."""
    path = tmp_path / "freshet.toml"
    path.write_text('[model]\ntune_every_seconds = "5m"\n')

    entries = json.loads(run("config", "--config", path, "--json").stdout)
    (entry,) = [each for each in entries if each["key"] == "tune_every_seconds"]

    assert entry == {
        "table": "model",
        "key": "tune_every_seconds",
        "value": 300.0,
        "source": "file",
        "variable": "FRESHET_MODEL_TUNE_EVERY_SECONDS",
    }
    assert "FRESHET_STREAM_ACTION_WEIGHTS" in run("config").stdout


def test_the_version_is_said(run: Command) -> None:
    """As the package has it."""
    assert run("--version").stdout.startswith("freshet 0.")


def test_backfill_by_several_processes_makes_the_same_graph(tmp_path: Path, run: Command) -> None:
    """Processes side by side, each with its shards, make what one makes, and put bad
    lines away once.
    """
    lines = [
        {
            "ts_ms": 1_760_000_000_000 + n,
            **CLICK,
            "session_id": f"s{n % 40}",
            "item_id": f"i{n % 7}",
        }
        for n in range(400)
    ]
    events = _write_lines(tmp_path / "e.jsonl", [*lines, {"ts_ms": 1}])
    config = tmp_path / "freshet.toml"
    config.write_text("[stream]\nnum_shards = 3\n")
    hashes = []
    for workers in (1, 2, 5):
        store = tmp_path / f"{workers}.store"
        arguments = ("--store", store, "--workers", workers, "--config", config)
        outcome = run("stream", "--source", f"file:{events}", *arguments)
        assert outcome.returncode == 0, outcome.stderr
        assert "400 events applied, 280 new facts, 1 quarantined" in outcome.stderr
        again = run("stream", "--source", f"file:{events}", *arguments)
        assert "0 events applied" in again.stderr
        hashes.append(run("graph", "hash", "--store", store).stdout)

    assert len(set(hashes)) == 1


def test_backfill_says_which_file_is_missing(tmp_path: Path, run: Command) -> None:
    """What fails in one of the processes is one line here."""
    arguments = ("--store", tmp_path / "s.store", "--workers", 2)
    outcome = run("stream", "--source", f"file:{tmp_path}/none.jsonl", *arguments)

    assert outcome.returncode == 1
    assert outcome.stderr.splitlines()[-1].startswith("freshet: error: no file matches")
