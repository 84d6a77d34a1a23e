"""Find the measurement that was asked for and run it."""

import sys
from importlib import import_module

MEASUREMENTS = {
    "faults": "bench.faults.faults",
    "files": "bench.files.files",
    "filters": "bench.filters",
    "freshness": "bench.freshness.freshness",
    "fuzz": "bench.fuzz",
    "ingest": "bench.ingest.ingest",
    "laws": "bench.laws",
    "overload": "bench.overload.overload",
    "quality": "bench.quality.quality",
    "refresher": "bench.fresh.refresher",
    "serve": "bench.serve",
    "soak": "bench.soak.soak",
    "train": "bench.train.train",
}
"""Each measurement by its name; its module has a ``run(argv)``."""


def main(argv: list[str]) -> int:
    """Run a measurement; without a name, say which there are."""
    if not argv or argv[0] not in MEASUREMENTS:
        print(
            f"usage: python -m bench NAME [OPTIONS]\nknown: {', '.join(MEASUREMENTS)}",
            file=sys.stderr,
        )
        return 2
    code: int | None = import_module(MEASUREMENTS[argv[0]]).run(argv[1:])
    return code or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
