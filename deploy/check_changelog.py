"""Exits 0 when the changelog has a place for what changes: Unreleased, or the version.

Python deploy/check_changelog.py, from the repository's folder.
"""

import re
import sys
import tomllib
from pathlib import Path

_HEADING = re.compile(r"^## \[(?P<name>[^\]]+)\](?P<rest>.*)$", re.MULTILINE)
_DATE = re.compile(r" - \d{4}-\d{2}-\d{2}")


def problem_of(changelog: str, version: str) -> str:
    """Return what is wrong with the changelog of a version; empty: nothing."""
    headings = {match["name"]: match["rest"] for match in _HEADING.finditer(changelog)}
    undated = [
        name
        for name, rest in headings.items()
        if name != "Unreleased" and not _DATE.fullmatch(rest)
    ]
    if undated:
        return f"the section {undated[0]} must be headed ## [{undated[0]}] - YYYY-MM-DD"
    if "Unreleased" in headings and next(iter(headings)) != "Unreleased":
        return "the section Unreleased must be the first"
    if "Unreleased" not in headings and version not in headings:
        return f"there is neither a section Unreleased nor one for {version}"
    return ""


def main() -> int:
    """Check the changelog of this repository and return the exit status."""
    root = Path(__file__).resolve().parent.parent
    version = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    problem = problem_of((root / "CHANGELOG.md").read_text("utf-8"), version)
    if problem:
        print(f"check: CHANGELOG.md: {problem}", file=sys.stderr)
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
