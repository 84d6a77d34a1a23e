"""How a run of CI ends: by the first stage that fails, with its name."""

import re
import subprocess
from pathlib import Path

import pytest

_STAGES = Path(__file__).resolve().parents[2] / ".ci" / "stages.sh"


def _run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n. {_STAGES}\n{script}"],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_stages_that_succeed_are_told_with_their_seconds(tmp_path: Path) -> None:
    """What ran beside the others is shown whole, once it has ended."""
    done = _run(
        'beside "slow" echo from beside\nstage "quick" echo from a stage\njoined\necho after',
        tmp_path,
    )

    assert done.returncode == 0, done.stderr
    assert re.sub(r"took \d+ s", "took N s", done.stdout).splitlines() == [
        "ci: slow, beside what follows",
        "ci: quick",
        "from a stage",
        "ci: quick took N s",
        "ci: slow said:",
        "from beside",
        "ci: slow took N s, beside what came before",
        "after",
    ]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "script",
    [
        'stage "broken" sh -c "echo why >&2; exit 3"',
        'work() { echo why >&2; (exit 3); echo unreached; }\nstage "broken" work',
        'beside "broken" sh -c "echo why >&2; exit 3"\nstage "sound" true\njoined',
    ],
)
def test_a_stage_that_fails_ends_the_run_and_is_named(tmp_path: Path, script: str) -> None:
    """With its status and output, wherever in it that is, and nothing runs after."""
    done = _run(f"{script}\necho unreached", tmp_path)

    assert done.returncode == 3
    assert "unreached" not in done.stdout
    assert "why" in done.stdout + done.stderr
    assert done.stderr.splitlines()[-1] == "ci: failed: broken"


def test_what_runs_beside_a_stage_that_fails_is_ended(tmp_path: Path) -> None:
    """By SIGTERM, so that it cleans up, and the run waits until it has."""
    script = """
waiting() { trap 'echo cleaned >cleaned; exit' TERM; echo >ready; while :; do sleep 0.01; done; }
beside "waiting" waiting
broken() { until [ -e ready ]; do sleep 0.01; done; false; }
stage "broken" broken
"""
    done = _run(script, tmp_path)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "ci: failed: broken"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cleaned", "ready"]
