"""Makes environments for what is measured beside Freshet, whose pins and ours need not
fit.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_LIMIT_SECONDS = 300.0  # for uv to download and install some 30 packages; chosen by hand


class EnvironmentMissing(Exception):
    """The environment could not be made: no uv, or no package registry.

    The comparison is left out.
    """


def python_with(name: str, packages: Sequence[str]) -> Path:
    """Return the interpreter of an environment with some packages, made on the first
    call.

    Args:
        name: of the environment's folder; another for other packages.
        packages: as pip takes them.

    Raises:
        EnvironmentMissing: it could not be made.
    """
    folder = _ROOT / ".tools" / name
    python, made = folder / "bin" / "python", folder / ".made"
    if not made.exists():
        uv = _uv()
        _run(uv, "venv", "--clear", "--python", sys.executable, str(folder))
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
        raise EnvironmentMissing("uv is not installed; run make setup")
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
        raise EnvironmentMissing(
            f"{' '.join(command[1:3])} took more than {_LIMIT_SECONDS:.0f} s"
        ) from error
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise EnvironmentMissing(f"{' '.join(command[1:3])} failed: {last[0]}")
