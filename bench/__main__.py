"""Find the measurement that was asked for and run it."""

import sys
from importlib import import_module
from pathlib import Path


def main(argv: list[str]) -> int:
    """Run ``bench/<name>.py``; without a name, say which there are."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))
    if not argv or argv[0] not in names:
        print(f"usage: python -m bench NAME [OPTIONS]\nknown: {', '.join(names)}", file=sys.stderr)
        return 2
    code: int | None = import_module(f"bench.{argv[0]}").run(argv[1:])
    return code or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
