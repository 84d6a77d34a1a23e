"""Makes the environment that Quix Streams runs in for the comparison, for its pins and
ours do not fit.
"""

import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

QUIX_VERSION = "3.28.1"

_ROOT = Path(__file__).resolve().parents[2]
_FOLDER = _ROOT / ".tools" / f"quix-{QUIX_VERSION}"
_LIMIT_SECONDS = 300.0  # for uv to download and install some 30 packages; chosen by hand


class QuixMissing(Exception):
    """The environment could not be made: no uv, or no package registry.

    The comparison is left out.
    """


def quix_python() -> Path:
    """Return the interpreter of an environment with Quix Streams, made on the first
    call.

    Raises:
        QuixMissing: it could not be made.
    """
    python, made = _FOLDER / "bin" / "python", _FOLDER / ".made"
    if not made.exists():
        uv = _uv()
        _run(uv, "venv", "--clear", "--python", sys.executable, str(_FOLDER))
        # Our stubs refuse a protobuf that is older than what generated them.
        packages = [f"quixstreams=={QUIX_VERSION}", f"protobuf=={version('protobuf')}"]
        _run(uv, "pip", "install", "--python", str(python), *packages)
        made.touch()
    return python


def _uv() -> str:
    """Return the program itself.

    Through ``python -m uv`` it would install into that Python's environment.
    """
    beside = Path(sys.executable).parent
    found = shutil.which("uv", path=os.pathsep.join([str(beside), os.environ.get("PATH", "")]))
    if found is None:
        raise QuixMissing("uv is not installed; run make setup")
    return found


def _run(*command: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_LIMIT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise QuixMissing(
            f"{' '.join(command[1:3])} took more than {_LIMIT_SECONDS:.0f} s"
        ) from error
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise QuixMissing(f"{' '.join(command[1:3])} failed: {last[0]}")
