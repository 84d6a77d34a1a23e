"""Fetches Apache Kafka's jars by Maven coordinates, once, into a folder that git
ignores.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from deploy.maven import MissingToolError, fetch_command, fetched

POM = Path(__file__).with_name("pom.xml")
_CACHE = Path(__file__).resolve().parents[2] / ".kafka"
# What Kafka 4 needs.
_MINIMUM_JAVA = 17
_INSTALL = (
    "Freshet's tests need Java 17 or later and Maven: apt-get install default-jre-headless maven, "
    "or set FRESHET_TEST_KAFKA=host:port to use a broker that already runs"
)


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
    return fetched(
        POM, "copy-dependencies", _CACHE, "kafka: fetching Kafka's jars with Maven, 44 MB"
    )


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


def main() -> int:
    """Make sure that the jars are there; return the exit status."""
    return fetch_command("kafka", kafka_jars)


if __name__ == "__main__":
    sys.exit(main())
