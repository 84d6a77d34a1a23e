"""Tests of the command line: what scripts rely on."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import click
import pytest
from packaging.requirements import Requirement

from freshet.commands.cli import cli
from freshet.commands.table import SECTIONS, Section
from freshet.process import EXTRAS
from tests.freshet.conftest import ROOT, Command


def _at(path: tuple[str, ...]) -> click.Command:
    command: click.Command = cli
    for name in path:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found
    return command


def _leaves(path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    command = _at(path)
    if not isinstance(command, click.Group):
        return [path]
    names = command.list_commands(click.Context(command))
    return [leaf for name in names for leaf in _leaves((*path, name))]


def test_help_reads_like_the_product(run: Command) -> None:
    """Every command is in its section, with what it does."""
    text = run("--help").stdout

    for section in SECTIONS:
        assert f"{section.title}:" in text
        for entry in section.entries:
            assert f"{entry.name} {entry.summary}" in " ".join(text.split())


def test_each_command_is_one_line_of_help(run: Command) -> None:
    """On a terminal of 80 columns, too."""
    text = run("--help").stdout

    for section in SECTIONS:
        for entry in section.entries:
            assert f"{entry.name:<11}  {entry.summary}\n" in text


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.title)
def test_every_file_of_a_section_is_a_line_of_the_table(section: Section) -> None:
    """No command is declared and then forgotten."""
    folder = ROOT.joinpath(*section.package.split("."))
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}

    assert files == {entry.module for entry in section.entries}


@pytest.mark.parametrize("path", _leaves(), ids=" ".join)
def test_examples_are_lines_to_copy(path: tuple[str, ...]) -> None:
    """Help shows an example on a line of its own, and no mark-up."""
    command = _at(path)
    shown = command.get_help(click.Context(command, info_name=" ".join(path), terminal_width=110))
    examples = [
        line.strip() for line in (command.help or "").splitlines() if line.startswith("freshet ")
    ]

    assert "\\b" not in shown
    assert set(examples) <= {line.strip() for line in shown.splitlines()}


@pytest.mark.parametrize("path", _leaves(), ids=" ".join)
def test_every_command_explains_itself(path: tuple[str, ...], run: Command) -> None:
    """Each command and each of its options has help."""
    outcome = run(*path, "--help")
    command = _at(path)

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
        (("query",), {"-k", "--target", "--max-age", "--min-reflected", "--json"}),
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
    command = _at(path)

    assert options <= {name for option in command.params for name in option.opts}


def _imported_by(code: str) -> set[str]:
    """Return the modules that a process of its own has loaded after some code."""
    outcome = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules, file=sys.stderr)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(outcome.stderr.split())


_RUN = "from freshet import process\nfrom freshet.commands.cli import cli\nprocess.run(cli, {!r})"
_HEAVY = {*(name for names in EXTRAS.values() for name in names)} | {
    *("msgspec", "numpy", "prometheus_client", "rich", "google.protobuf")
}


def test_help_loads_no_command_and_nothing_heavy() -> None:
    """Nobody waits for torch to read a list of commands, nor for the commands."""
    modules = _imported_by(_RUN.format(["--help"]))

    assert not _HEAVY & modules
    assert {name for name in modules if name.startswith("freshet.")} == {
        *("freshet.commands", "freshet.commands.cli", "freshet.commands.table"),
        *("freshet.config", "freshet.process", "freshet.logs", "freshet.logs.lines"),
        "freshet.logs.printable",
        *("freshet.logs.runbook", "freshet.logs.settings", "freshet.metrics_settings"),
        *("freshet.telemetry", "freshet.telemetry.settings"),
    }


def test_a_command_loads_no_other() -> None:
    """The file of the command that is named is the only one that is imported."""
    modules = _imported_by(_RUN.format(["config", "--help"]))
    packages = {section.package for section in SECTIONS}

    loaded = {name for name in modules if name.rpartition(".")[0] in packages}
    assert loaded == {"freshet.commands.views.config"}


@pytest.mark.parametrize("arguments", [["train", "--help"], ["tune", "-h"], ["evaluate", "-h"]])
def test_help_of_what_trains_loads_no_torch(arguments: list[str]) -> None:
    """Torch takes seconds; whoever reads a help text does not train."""
    assert "torch" not in _imported_by(_RUN.format(arguments))


def _extras_closure(extra: str) -> set[str]:
    """Return the modules that `pip install 'freshet[EXTRA]'` brings by its extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional: Mapping[str, list[str]] = project["optional-dependencies"]
    included = {
        part.strip()
        for requirement in optional[extra]
        if requirement.startswith("freshet[")
        for part in requirement.partition("[")[2].rstrip("]").split(",")
    }
    return set(EXTRAS.get(extra, ())).union(*map(_extras_closure, included))


def _distribution(requirement: str) -> str:
    return re.split(r"[\[<>=]", requirement)[0]


def _brought_by_its_extras(requirement: str) -> set[str]:
    """Return the distributions that the extras of a requirement bring."""
    extras = re.findall(r"[\w-]+", requirement.partition("[")[2].partition("]")[0])
    environment = {"python_version": "3.11", "sys_platform": "linux"}
    return {
        _canonical(parsed.name)
        for extra in extras
        for parsed in map(Requirement, requires(_distribution(requirement)) or ())
        if parsed.marker and parsed.marker.evaluate({**environment, "extra": extra})
    }


def _canonical(name: str) -> str:
    return name.lower().replace("_", "-")


def test_the_modules_of_each_extra_are_those_of_pyproject() -> None:
    """What a missing module's message advises brings the module."""
    project, client = (
        tomllib.loads((ROOT / folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        for folder in ("", "clients/python")
    )
    optional: Mapping[str, list[str]] = project["optional-dependencies"]
    always = {_canonical(_distribution(each)) for each in project["dependencies"]}
    # Several distributions share the namespace `google`.
    distributions = {**packages_distributions(), "google.rpc": ["googleapis-common-protos"]}

    direct: dict[str, set[str]] = {}
    named: dict[str, set[str]] = {}
    for extra, modules in EXTRAS.items():
        required = [each for each in optional[extra] if not each.startswith("freshet[")]
        if extra == "client":
            required += client["dependencies"]
        direct[extra] = {_canonical(_distribution(each)) for each in required} - always
        brought = direct[extra].union(*map(_brought_by_its_extras, required))
        homes = [set(map(_canonical, distributions[name])) for name in modules]
        assert all(home & brought for home in homes), extra
        named[extra] = brought.intersection(*[set[str]().union(*homes)])
    for extra, names in named.items():
        of_others = set[str]().union(*(named[other] for other in named if other != extra))
        assert direct[extra] - of_others <= names, extra


@pytest.mark.parametrize("extras", sorted({each.extras for s in SECTIONS for each in s.entries}))
def test_a_command_loads_with_the_extras_that_the_table_names(extras: tuple[str, ...]) -> None:
    """Nothing else that is optional has to be installed to read its help."""
    present = set[str]().union(*map(_extras_closure, extras))
    absent = sorted({n for names in EXTRAS.values() for n in names} - present)
    names = [each.name for s in SECTIONS for each in s.entries if each.extras == extras]
    code = "\n".join(
        (
            f"sys.modules.update(dict.fromkeys({absent!r}))",
            *(_RUN.format([name, "--help"]) + " and sys.exit(1)" for name in names),
        )
    )

    assert _imported_by(code)


@pytest.mark.parametrize(
    ("arguments", "absent", "said"),
    [
        (["serve", "--help"], "grpc", "no grpc; install what `freshet serve` needs: {server}"),
        (
            ["tune", "--help"],
            "rocksdict",
            "no rocksdict; install the extra that brings it: {stream}",
        ),
        (["demo", "--help"], "grpc", "what `freshet demo` needs: {server}"),
        (["train", "--store", "x", "--artifacts", "y"], "torch", "that brings it: {model}"),
        (["graph", "--help"], "numpy", "no numpy; install Freshet again: pip install --force"),
    ],
)
def test_a_missing_extra_is_named(
    arguments: list[str], absent: str, said: str, tmp_path: Path
) -> None:
    """The message says what is missing, and the extra that brings it, no other."""
    code = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name.partition('.')[0] == {absent!r}:\n"
        "            raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from freshet import process\n"
        "from freshet.commands.cli import cli\n"
        f"sys.exit(process.run(cli, {arguments!r}))"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    pip = {extra: f"pip install 'freshet[{extra}]'" for extra in ("server", "model", "stream")}

    assert outcome.returncode == 1
    assert said.format(**pip) in outcome.stderr
    assert outcome.stderr.startswith("freshet: error: this installation has no ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["stream", "--source", "kafka:h:1", "--store", "x", "--checkpoints", ""],
        ["restore", "--store", "x", "--backup", ""],
        ["restore", ""],
        ["backup", "create", ""],
        ["backup", "verify", "--backup", ""],
        ["erasures", "--store", "x", "--id", ""],
        ["generations", "pin", "", "--artifacts", "x"],
        ["generations", "show", "", "--artifacts", "x"],
        ["generations", "use", "", "--artifacts", "x"],
        ["query", "lamp", "--group-by", ""],
        ["query", "lamp", "--context", ""],
        ["why-stale", "--item", ""],
        ["why-stale", "--query", ""],
        ["why-stale", "--generation", ""],
    ],
)
def test_an_empty_text_is_not_taken_for_none(arguments: list[str], run: Command) -> None:
    """What a variable of a shell that is not set makes of `"$ID"`: it pinned what was
    live, restored the newest backup, and grouped nothing.
    """
    outcome = run(*arguments)

    assert outcome.returncode == 2
    assert "it is empty; leave it out, or give one" in outcome.stderr


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
        (["generations", "list", "--artifacts", "nowhere"], "nowhere is not there"),
        (["quarantine", "list", "--store", "nowhere"], "nowhere: there is no store"),
        (["query", "x", "--target", "127.0.0.1:1"], "no retrieval server answers at 127.0.0.1:1"),
        (["demo", "--events", "nowhere"], "nowhere cannot be read"),
        (["explain", "x", "i", "--target", "127.0.0.1:1"], "no retrieval server answers at"),
        (["replay", "--events", "nowhere", "--to", "h:1"], "no file matches nowhere"),
        (["evaluate", "--events", "nowhere"], "no file matches nowhere"),
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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["generations", "list", "--artifacts", "notes"], "notes is a file; give the folder"),
        (["explain", "x", "i", "--artifacts", "notes"], "notes is a file; give the folder"),
        (["simulate", "--out", "notes"], "notes is a file; give a folder with --out"),
        (["config", "--config", "binary"], "binary is not UTF-8"),
        (
            ["replay", "--events", "notes", "--to", "127.0.0.1:1"],
            "notes begins with can be used (lines looked at: 1); the first is malformed",
        ),
        (
            ["replay", "--items", "notes", "--to", "127.0.0.1:1"],
            "notes --kind item`",
        ),
        (["evaluate", "--events", "notes"], "does not start like JSON"),
    ],
)
def test_a_file_that_is_something_else_is_said_to_be(
    arguments: list[str], said: str, tmp_path: Path, spawn: Command
) -> None:
    """In one line with what to give, and nothing is published of it."""
    (tmp_path / "notes").write_text("buy milk\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")

    outcome = spawn(*arguments)

    assert outcome.returncode in (1, 2)
    assert said in outcome.stderr
    assert outcome.stderr.count("freshet: error: ") == 1
    assert "Traceback" not in outcome.stderr


def test_a_generation_that_is_not_there_is_told_beside_those_that_are(
    tmp_path: Path, run: Command
) -> None:
    """As `use` tells it."""
    outcome = run("generations", "show", "nope", "--artifacts", tmp_path)

    assert outcome.returncode == 1
    assert f"no generation nope in {tmp_path}; the newest there: none" in outcome.stderr


def _commands(command: click.Command) -> list[click.Command]:
    if not isinstance(command, click.Group):
        return [command]
    context = click.Context(command)
    inner = [command.get_command(context, name) for name in command.list_commands(context)]
    return [each for one in inner if one is not None for each in _commands(one)]


def test_help_shows_values_as_they_are_typed() -> None:
    """No type of a library, and nothing in capitals that is not to be typed so."""
    for command in _commands(cli):
        context = click.Context(command)
        shown = [option.make_metavar(context) for option in command.params]
        assert not [each for each in shown if "RANGE" in each or "KAFKA:" in each], command.name


def test_a_wrong_setting_refuses_to_start(tmp_path: Path, spawn: Command) -> None:
    """Also one of a package that the command does not use.

    It would be wrong for the next command.
    """
    (tmp_path / "freshet.toml").write_text("[model]\ndimm = 3\n")

    outcome = spawn("graph", "hash", "--store", "x", "--config", "freshet.toml")

    assert outcome.returncode == 2
    assert "freshet.toml: [model]: unknown key dimm; did you mean dim?" in outcome.stderr
    assert spawn("config", FRESHET_SERVER_MAX_K="x").returncode == 2


def test_the_version_is_said(run: Command) -> None:
    """As the package has it."""
    assert run("--version").stdout.startswith("freshet 0.")
