"""The native library as a distribution of its own, which the stream does without."""

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import freshet_native
from stream.events import native

_ROOT = Path(__file__).resolve().parents[2]
_NATIVE = _ROOT / "native"


def _document(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))


def test_it_is_tested_here() -> None:
    """Where there is a compiler it is built, so that no test of it is passed over."""
    assert native.IS_HERE
    assert all(hasattr(freshet_native, name) for name in freshet_native.__all__)


def test_versions_are_those_of_freshet() -> None:
    """It has Freshet's version, is required by its extra exactly, and needs nothing."""
    main, own = _document(_ROOT)["project"], _document(_NATIVE)["project"]

    assert own["version"] == main["version"]
    assert f"freshet-native=={main['version']}" in main["optional-dependencies"]["native"]
    assert own["requires-python"] == main["requires-python"]
    assert "dependencies" not in own


def test_the_license_goes_along() -> None:
    """It carries the license of the repository."""
    assert (_NATIVE / "LICENSE").read_bytes() == (_ROOT / "LICENSE").read_bytes()


def test_every_source_belongs_to_the_distribution() -> None:
    """What the extension is built from is listed, so that a source archive has it."""
    extensions = _document(_NATIVE)["tool"]["setuptools"]["ext-modules"]
    folder = _NATIVE / "freshet_native"
    sources = [*folder.rglob("*.c"), *folder.rglob("*.h")]

    listed = {path for each in extensions for path in (*each["sources"], *each["depends"])}
    assert listed == {path.relative_to(_NATIVE).as_posix() for path in sources}


def test_without_it_the_stream_decodes_in_python() -> None:
    """Nothing but the time it takes tells whether it is installed."""
    code = (
        "import sys\n"
        "if sys.argv[1] == 'without': sys.modules['freshet_native'] = None\n"
        "from stream.events.native import IS_HERE\n"
        "from stream.events.fast_path import ColumnDecoder\n"
        "from testing.records import NEUTRAL, NOW_MS, SETTINGS, event, EVENT, records\n"
        "import json\n"
        "batch = records([('', json.dumps(dict(NEUTRAL)).encode()), (EVENT, event())])\n"
        "decoder = ColumnDecoder(SETTINGS)\n"
        "print(IS_HERE, file=sys.stderr)\n"
        "print(decoder.decode(batch, NOW_MS).events, dict(decoder.texts.queries))\n"
    )
    done = {
        how: subprocess.run(
            [sys.executable, "-c", code, how], capture_output=True, text=True, check=True, cwd=_ROOT
        )
        for how in ("with", "without")
    }

    assert (done["with"].stderr, done["without"].stderr) == ("True\n", "False\n")
    assert done["with"].stdout == done["without"].stdout
    assert "xbox 360" in done["with"].stdout
