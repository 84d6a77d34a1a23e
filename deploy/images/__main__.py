"""Builds the images and tries them: ``python -m deploy.images [TARGET...]``.

On a base from Debian's packages, so that no registry of images is asked. For Linux, and
as root.
"""

import argparse
import shlex
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from deploy.images.bill import licences, write_bill
from deploy.images.engine import BASE, Engine, ImagesError, image
from deploy.images.trial import try_images
from deploy.kafka.jars import kafka_jars
from deploy.maven import FetchError, MissingToolError

# In the order of the Dockerfile. The two of the tuner are large: by name only.
_TARGETS = ("server", "stream", "refresher", "probe")
_LARGE = ("tuner", "tuner-cuda")
_TRIAL = "--trial-in-own-network"


def main(arguments: list[str] | None = None) -> int:
    """Build, tell sizes, try; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m deploy.images", description=__doc__)
    parser.add_argument("targets", nargs="*", choices=(*_TARGETS, *_LARGE, []), metavar="TARGET")
    parser.add_argument("--no-trial", action="store_true", help="build only")
    parser.add_argument(_TRIAL, dest="inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    try:
        engine = Engine()
        if options.inside:
            try_images(engine, options.targets, _say)
            return 0
        targets = options.targets or _TARGETS
        try:
            _build(engine, targets)
            return 0 if options.no_trial else _trial(targets)
        finally:
            engine.let_go()
    except (ImagesError, FetchError, MissingToolError) as error:
        print(f"images: {error}", file=sys.stderr)
        return 1


def _build(engine: Engine, targets: Sequence[str]) -> None:
    began = time.monotonic()
    engine.make_base()
    base = engine.size(BASE)
    _say(f"base: {base / 1e6:.0f} MB ({time.monotonic() - began:.0f} s)")
    for target in targets:
        began = time.monotonic()
        engine.build(target)
        size = engine.size(image(target))
        _say(
            f"{target}: {size / 1e6:.0f} MB, {(size - base) / 1e6:.0f} MB over its base "
            f"({time.monotonic() - began:.0f} s)"
        )
        _say(_licences(write_bill(engine, target)))


def _licences(path: Path) -> str:
    """A bill in a line: how many packages of each licence."""
    counted = Counter(licences(path).values()).most_common()
    return f"{path}: " + ", ".join(f"{count} {licence}" for licence, count in counted)


def _trial(targets: Sequence[str]) -> int:
    """Try the images in a network of their own: their ports are those that they have
    everywhere, and this machine's may be taken.
    """
    kafka_jars()  # there is nothing to fetch them from inside
    command = shlex.join([sys.executable, "-m", "deploy.images", _TRIAL, *targets])
    inner = f"ip link set lo up && exec {command}"
    return subprocess.run(["unshare", "--net", "sh", "-c", inner], check=False).returncode


def _say(line: str) -> None:
    print(f"images: {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
