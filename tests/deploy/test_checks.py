"""What `make check` runs besides Python's own tools: contracts, changelog, hooks."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.check_changelog import problem_of

_ROOT = Path(__file__).resolve().parents[2]
_CHECK = ("deploy/buf/check.sh",)


def _git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.invalid")
    subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def tools() -> Path:
    """The folder of tools with buf in it, fetched as `make check` does."""
    subprocess.run(_CHECK, cwd=_ROOT, check=True, capture_output=True)
    return _ROOT / ".tools"


@pytest.fixture
def repository(tmp_path: Path, tools: Path) -> Path:
    """A repository of the contracts alone, with one commit on main."""
    for folder in ("protos", "deploy/buf"):
        shutil.copytree(_ROOT / folder, tmp_path / folder)
    for name in ("buf.yaml", *_CHECK):
        shutil.copy(_ROOT / name, tmp_path / name)
    (tmp_path / ".tools").symlink_to(tools)
    _git(tmp_path, "init", "--quiet", "--initial-branch=main")
    _commit(tmp_path, "first")
    return tmp_path


def _commit(repository: Path, message: str) -> None:
    _git(repository, "add", "protos", "deploy", "buf.yaml")
    _git(repository, "commit", "--quiet", "--message", message)


def _change(repository: Path, before: str, after: str) -> None:
    """Change the retrieval contract, and commit it."""
    contract = repository / "protos" / "retrieval_v1.proto"
    text = contract.read_text("utf-8")
    assert before in text
    contract.write_text(text.replace(before, after), "utf-8")
    _commit(repository, "change")


def _check(repository: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(_CHECK, cwd=repository, capture_output=True, text=True, check=False)


def _tagged(repository: Path) -> None:
    _git(repository, "tag", "v0.0.1")


def _branched(repository: Path) -> None:
    _git(repository, "switch", "--quiet", "--create", "topic")


@pytest.mark.parametrize("base", [_tagged, _branched])
def test_a_contract_may_grow_and_not_break(repository: Path, base: Callable[[Path], None]) -> None:
    """Against the last tag, else the main branch, a new field passes and a renamed one
    is refused by name, committed or not.
    """
    base(repository)
    _change(repository, "uint32 k = 2;", "uint32 k = 2;\n  uint32 min_hits = 30;")
    grown = _check(repository)
    _change(repository, "string query = 1;", "string text = 1;")
    renamed = _check(repository)

    assert (grown.returncode, grown.stderr) == (0, "")
    assert renamed.returncode == 1
    assert 'changed name from "query" to "text"' in renamed.stdout + renamed.stderr
    assert "add fields instead" in renamed.stderr


def test_an_uncommitted_break_is_found_without_tag_or_branch(repository: Path) -> None:
    """Without either, what is written is compared with what is committed."""
    _git(repository, "branch", "--move", "only")
    contract = repository / "protos" / "retrieval_v1.proto"
    contract.write_text(contract.read_text("utf-8").replace("uint32 k = 2;", "uint32 k = 15;"))

    assert _check(repository).returncode == 1


def test_contracts_are_linted_without_git(repository: Path) -> None:
    """An unpacked archive has no history: it is linted, and told so."""
    shutil.rmtree(repository / ".git")
    whole = _check(repository)
    _ = (repository / "protos" / "odd.proto").write_text(
        'syntax = "proto3";\npackage freshet.odd.v1;\nmessage lower {}\n', "utf-8"
    )
    odd = _check(repository)

    assert (whole.returncode, odd.returncode) == (0, 100)
    assert "not compared" in whole.stdout
    assert "lower" in odd.stdout


def test_every_exception_of_buf_has_a_reason() -> None:
    """Each rule that is left out has a comment above it."""
    lines = (_ROOT / "buf.yaml").read_text("utf-8").splitlines()
    left_out = yaml.safe_load("\n".join(lines))["lint"]["except"]

    for rule in left_out:
        assert lines[lines.index(f"    - {rule}") - 1].lstrip().startswith("# ")
    assert left_out


def test_buf_comes_with_a_hash_and_without_an_address() -> None:
    """The lock file pins each of buf's packages by its hash, and names no host."""
    lock = (_ROOT / "deploy" / "buf" / "package-lock.json").read_text("utf-8")
    packages: dict[str, Any] = yaml.safe_load(lock)["packages"]

    assert "://" not in lock
    assert all(entry["integrity"].startswith("sha512-") for name, entry in packages.items() if name)


def test_the_hooks_run_what_make_check_runs() -> None:
    """The pre-commit file and the Makefile have the same commands in the same order."""
    makefile = (_ROOT / "Makefile").read_text("utf-8")
    (recipe,) = re.findall(r"^check: .+\n((?:\t.+\n)+)", makefile, re.MULTILINE)
    commands = [
        line.removeprefix("\t@").replace("$(BIN)", ".venv/bin").partition(" || ")[0]
        for line in recipe.splitlines()
    ]
    config = yaml.safe_load((_ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]

    assert [hook["entry"] for hook in hooks] == commands
    assert all(repo["repo"] == "local" for repo in config["repos"])
    assert all(hook["language"] == "system" and not hook["pass_filenames"] for hook in hooks)


@pytest.mark.parametrize(
    ("changelog", "problem"),
    [
        ("## [Unreleased]\n", ""),
        ("## [Unreleased]\n\n## [0.1.0] - 2030-01-31\n", ""),
        ("## [0.2.0] - 2030-01-31\n\n## [0.1.0] - 2029-01-31\n", ""),
        ("# Changelog\n", "neither a section Unreleased nor one for 0.2.0"),
        ("## [0.1.0] - 2030-01-31\n", "neither a section Unreleased nor one for 0.2.0"),
        ("## [0.1.0] - 2030-01-31\n\n## [Unreleased]\n", "must be the first"),
        ("## [Unreleased]\n\n## [0.1.0]\n", "must be headed"),
    ],
)
def test_the_changelog_has_a_place_for_what_changes(changelog: str, problem: str) -> None:
    """A version without a section, an undated one and a misplaced one are named."""
    found = problem_of(changelog, "0.2.0")

    assert (problem in found) if problem else (found == "")
