"""Tests of the repository itself: the pins, the stubs, the make targets."""

import re
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from protos import generate

_ROOT = Path(__file__).resolve().parents[2]
_PINS = (_ROOT / "constraints.txt").read_text("utf-8")


def test_constraints_name_versions_and_hashes_but_no_addresses() -> None:
    """Every pin has a hash, and no line names an index, a link or a path."""
    entries = re.split(r"^(?=[a-z0-9])", _PINS, flags=re.MULTILINE)[1:]

    assert all("==" in entry.splitlines()[0] and "--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"://|--index|--find-links|@ ", _PINS)


def test_installed_versions_are_the_pinned_ones() -> None:
    """What these tests run with is what the constraints name."""
    pinned = dict(
        re.findall(
            r"^(freshet|click|torch|kafka-python|rocksdict|grpcio|annoy|protobuf)==(\S+)",
            _PINS,
            re.MULTILINE,
        )
    )

    assert len(pinned) == 7
    assert {name: metadata.version(name).partition("+")[0] for name in pinned} == pinned


def test_generated_stubs_are_up_to_date() -> None:
    """The committed stubs are what the .proto files generate."""
    assert generate.stale_stubs(_ROOT) == []


@pytest.fixture
def copied_contracts(tmp_path: Path) -> Path:
    """A tree with a copy of the contracts and their stubs, to change."""
    for folder in ("protos", f"{generate.CLIENT}/protos"):
        shutil.copytree(_ROOT / folder, tmp_path / folder)
    return tmp_path


def test_stale_and_orphaned_stubs_are_found_and_mended(copied_contracts: Path) -> None:
    """A changed contract, hand-edited stubs (the client's, too) and a stub without a
    contract are named, then put right.
    """
    protos = copied_contracts / "protos"
    events = protos / "events_v1.proto"
    events.write_text(
        events.read_text("utf-8").replace("string user_id = 3;", "string visitor_id = 3;"), "utf-8"
    )
    (protos / "manifest_v1_pb2.pyi").write_text("", "utf-8")
    (protos / "gone_v1_pb2.py").write_text("", "utf-8")
    clients = copied_contracts / generate.CLIENT / "protos" / "retrieval_v1_pb2.py"
    clients.write_text("", "utf-8")

    found = generate.stale_stubs(copied_contracts)
    mended = generate.write_stubs(copied_contracts)

    assert found == [
        "clients/python/freshet_client/protos/retrieval_v1_pb2.py",
        "protos/events_v1_pb2.py",
        "protos/events_v1_pb2.pyi",
        "protos/gone_v1_pb2.py",
        "protos/manifest_v1_pb2.pyi",
    ]
    assert mended == found
    assert generate.stale_stubs(copied_contracts) == []
    assert not (protos / "gone_v1_pb2.py").exists()


def test_broken_contract_is_one_error(copied_contracts: Path) -> None:
    """A .proto file that does not compile is refused, and no stub is touched."""
    before = {path.name: path.read_bytes() for path in (copied_contracts / "protos").glob("*_pb2*")}
    (copied_contracts / "protos" / "broken.proto").write_text("syntax = nothing", "utf-8")

    with pytest.raises(generate.GenerateError, match=r"broken\.proto"):
        generate.write_stubs(copied_contracts)

    assert before == {
        path.name: path.read_bytes() for path in (copied_contracts / "protos").glob("*_pb2*")
    }


def test_every_make_target_has_help() -> None:
    """Plain make lists every target with what it does."""
    makefile = (_ROOT / "Makefile").read_text("utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    shown = subprocess.run(
        ["make", "--no-print-directory"], cwd=_ROOT, capture_output=True, text=True, check=True
    ).stdout

    assert re.findall(r"^ +make ([\w-]+) +\w", shown, re.MULTILINE) == phony.split()


def test_setup_needs_a_recent_python(tmp_path: Path) -> None:
    """An old Python is refused in one line, before anything is made."""
    old = tmp_path / "python3"
    old.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.1" && exit 0\nexit 1\n', "utf-8"
    )
    old.chmod(0o755)
    done = subprocess.run(
        [_ROOT / "deploy" / "setup.sh", old, tmp_path / "venv"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode != 0
    assert re.fullmatch(r"setup: Python 3\.9\.1 is too old: .+\n", done.stderr)
    assert not (tmp_path / "venv").exists()


def test_setup_says_at_once_that_it_takes_minutes(tmp_path: Path) -> None:
    """Making the environment is slow by itself."""
    python = tmp_path / "python3"
    python.write_text('#!/bin/sh\n[ "$1" != -m ] || exit 1\n', "utf-8")
    python.chmod(0o755)
    done = subprocess.run(
        [_ROOT / "deploy" / "setup.sh", python, tmp_path / "venv"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode != 0
    assert done.stdout.endswith("(about 6 GB with torch): takes minutes\n")
