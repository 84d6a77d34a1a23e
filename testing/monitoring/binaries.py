"""Where Prometheus and Alertmanager are: on PATH, or fetched as `make check` does."""

import shutil
import subprocess
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_FETCHED = _ROOT / ".tools" / "usr" / "bin"


def binary(*names: str) -> Path:
    """Return a program by the first of its names that there is.

    Raises:
        SystemExit: there is none, and it cannot be fetched.
    """
    for name in names:
        if found := shutil.which(name):
            return Path(found)
    if "alertmanager" in names:
        raise SystemExit("no Alertmanager on PATH: apt-get install prometheus-alertmanager")
    if not any((_FETCHED / name).exists() for name in names):
        done = subprocess.run(
            [_ROOT / "deploy" / "prometheus" / "fetch.sh"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(done.stderr)
    return next(_FETCHED / name for name in names if (_FETCHED / name).exists())
