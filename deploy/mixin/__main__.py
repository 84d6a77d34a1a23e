"""Writes or compares all that is generated: ``python -m deploy.mixin [--check]``."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from deploy.mixin.files import FOLDER, render
from deploy.mixin.settings import FILE, MixinError, load_settings


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or say which differ; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m deploy.mixin", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; 1: a file differs")
    parser.add_argument(
        "--settings", type=Path, default=FILE, help="a TOML file of your own (default: %(default)s)"
    )
    parser.add_argument(
        "--out", type=Path, default=FOLDER, help="where to write (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    try:
        files = render(load_settings(options.settings))
    except (MixinError, OSError, ValueError) as error:
        print(f"mixin: {error}", file=sys.stderr)
        return 1
    if options.check:
        return _check(options.out, files)
    for name, text in files.items():
        path = options.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return 0


def _check(folder: Path, files: Mapping[str, str]) -> int:
    differ = [name for name, text in files.items() if _text(folder / name) != text]
    for name in differ:
        print(f"mixin: {folder / name} is not what its source makes", file=sys.stderr)
    if differ:
        print("mixin: run python -m deploy.mixin", file=sys.stderr)
    return 1 if differ else 0


def _text(path: Path) -> str:
    return path.read_text("utf-8") if path.is_file() else ""


if __name__ == "__main__":
    sys.exit(main())
