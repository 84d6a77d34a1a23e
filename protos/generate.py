"""Generates the committed stubs from the .proto files, or with ``--check`` tells
whether they are stale.
"""

import argparse
import re
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "protos"
CLIENT = "clients/python/freshet_client"
_CLIENT_CONTRACT = "retrieval_v1.proto"
_GENERATED = "*_pb2*.py*"


class GenerateError(Exception):
    """A .proto file did not compile.

    Not retriable: fix the file that the compiler names.
    """


def main(arguments: list[str] | None = None) -> int:
    """Regenerate the stubs, or with ``--check`` only compare.

    Return the exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m protos.generate", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="fail when a committed stub is stale; write nothing"
    )
    check = parser.parse_args(arguments).check
    try:
        differing = stale_stubs(ROOT) if check else write_stubs(ROOT)
    except GenerateError as error:
        sys.stderr.write(f"protos: {error}\n")
        return 1
    if check and differing:
        sys.stderr.write(
            f"protos: stale stubs: {', '.join(differing)}; run make protos and commit the result\n"
        )
        return 1
    sys.stdout.write(
        f"protos: {len(differing)} stubs rewritten\n"
        if not check
        else "protos: stubs are up to date\n"
    )
    return 0


def write_stubs(root: Path) -> list[str]:
    """Bring the stubs under `root` up to date and return the paths that changed.

    Raises:
        GenerateError: a .proto file did not compile.
    """
    with tempfile.TemporaryDirectory() as scratch:
        _compile(root, Path(scratch))
        changed = _differing(Path(scratch), root)
        for name in changed:
            (root / name).unlink(missing_ok=True)
            if (Path(scratch) / name).exists():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(Path(scratch) / name, root / name)
    return changed


def stale_stubs(root: Path) -> list[str]:
    """Return the paths of stubs under `root` that a regeneration would change, add or
    remove.

    Raises:
        GenerateError: a .proto file did not compile.
    """
    with tempfile.TemporaryDirectory() as scratch:
        _compile(root, Path(scratch))
        return _differing(Path(scratch), root)


def _compile(root: Path, out: Path) -> None:
    """Compile ``root/protos``: all of it for us, one contract for the client.

    The client's stubs are made from the same file under the same name. Their
    descriptors are equal byte for byte, so one process may load both.
    """
    sources = sorted((root / PACKAGE).glob("*.proto"))
    services = [
        path for path in sources if re.search(r"^service\s", path.read_text("utf-8"), re.MULTILINE)
    ]
    _protoc(root, sources, f"--python_out={out}", f"--pyi_out={out}")
    if services:
        plugin = Path(sysconfig.get_path("scripts")) / "protoc-gen-mypy_grpc"
        _protoc(
            root,
            services,
            f"--grpc_python_out={out}",
            f"--plugin=protoc-gen-mypy_grpc={plugin}",
            f"--mypy_grpc_out=quiet:{out}",
        )
    client = out / CLIENT
    client.mkdir(parents=True)
    contract = root / PACKAGE / _CLIENT_CONTRACT
    _protoc(root, [contract], f"--python_out={client}", f"--pyi_out={client}")


def _protoc(root: Path, sources: list[Path], *options: str) -> None:
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    names = [path.relative_to(root).as_posix() for path in sources]
    if protoc.main(["protoc", f"-I{root}", f"-I{well_known}", *options, *names]) != 0:
        raise GenerateError(f"the compiler refused {', '.join(names)}")


def _differing(fresh: Path, committed: Path) -> list[str]:
    names = {
        path.relative_to(root).as_posix()
        for root in (fresh, committed)
        for folder in (PACKAGE, f"{CLIENT}/{PACKAGE}")
        for path in (root / folder).glob(_GENERATED)
    }
    return sorted(name for name in names if _content(fresh / name) != _content(committed / name))


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
