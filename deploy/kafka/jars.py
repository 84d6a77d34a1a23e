"""Fetches Apache Kafka's jars by Maven coordinates, once, into a folder that git
ignores.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

POM = Path(__file__).with_name("pom.xml")
_CACHE = Path(__file__).resolve().parents[2] / ".kafka"
# What Kafka 4 needs.
_MINIMUM_JAVA = 17
_INSTALL = (
    "Freshet's tests need Java 17 or later and Maven: apt-get install default-jre-headless maven, "
    "or set FRESHET_TEST_KAFKA=host:port to use a broker that already runs"
)


class MissingToolError(Exception):
    """Java or Maven is not on this machine.

    Not retriable: install what the message names.
    """


class FetchError(Exception):
    """Maven could not fetch the jars.

    Retriable when the network is back; the message has Maven's reason.
    """


def kafka_jars() -> Path:
    """Return the folder with the broker's jars, fetching them (tens of megabytes) the
    first time.

    The environment variable FRESHET_KAFKA_LIB names a folder to use instead.

    Raises:
        MissingToolError: no Java 17, no Maven, or FRESHET_KAFKA_LIB holds no jars.
        FetchError: Maven failed.
    """
    _require_java()
    given = os.environ.get("FRESHET_KAFKA_LIB")
    if given:
        return _given_folder(Path(given))
    folder = _CACHE / f"lib-{hashlib.sha256(POM.read_bytes()).hexdigest()[:12]}"
    if not folder.is_dir():
        _fetch(folder)
    return folder


def _given_folder(folder: Path) -> Path:
    if not any(folder.glob("kafka_*.jar")):
        raise MissingToolError(
            f"FRESHET_KAFKA_LIB={folder} holds no kafka_*.jar: point it at Kafka's libs folder"
        )
    return folder


def _require_java() -> None:
    java = shutil.which("java")
    if java is None:
        raise MissingToolError(f"no java found. {_INSTALL}")
    shown = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', shown)
    if version is None or int(version[1]) < _MINIMUM_JAVA:
        raise MissingToolError(
            f"java is {shown.splitlines()[0] if shown else 'broken'}. {_INSTALL}"
        )


def _fetch(folder: Path) -> None:
    """Copy the jars aside and rename, so that an interrupted fetch leaves nothing that
    looks complete.
    """
    maven = shutil.which("mvn")
    if maven is None:
        raise MissingToolError(f"no mvn found. {_INSTALL}")
    print("kafka: fetching Kafka's jars with Maven (44 MB, once)", file=sys.stderr, flush=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        fetched = Path(scratch) / "lib"
        command = [maven, "-q", "-B", "-f", str(POM), "dependency:copy-dependencies"]
        done = subprocess.run(
            [*command, "-DincludeScope=runtime", f"-DoutputDirectory={fetched}"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise FetchError(
                "mvn could not fetch Kafka's jars:\n" + "\n".join(done.stdout.splitlines()[-8:])
            )
        try:
            fetched.rename(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another run has just fetched them
                raise


def main() -> int:
    """Make sure that the jars are there.

    Print one line when they are not and return the exit status.
    """
    try:
        kafka_jars()
    except (MissingToolError, FetchError) as error:
        print(f"kafka: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
