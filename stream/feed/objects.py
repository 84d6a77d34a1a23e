"""The feeds of all shards as objects beside their checkpoints, where every machine
reaches them.

::

    URL/shard-0003/feed/
      000007.status                            up to where the objects of a term count
      000007/000000000101-<writer>-000000000123.log    the writes from 101 to 123

The highest term's status counts, so that nothing which an earlier holder of the shard
still puts there does.
"""

import time

from stream.errors import SettingsInvalid
from stream.feed.folder import shard_numbers
from stream.feed.log import LogName
from stream.feed.status import (
    Status,
    newest_status,
    pack_status,
    status_name,
    term_of,
    unpack_status,
)
from stream.objects import Objects

# Seconds between two looks at a status: each is a request or two a shard, which object
# stores charge for. Twice as many: half the requests, and changes are seen twice as
# late.
_LOOK_SECONDS = 0.5
_FOLDER = "feed"


class FeedObjects:
    """The feeds of all shards at a URL.

    Args:
        url: a folder, or a URL that fsspec knows.

    Raises:
        SettingsInvalid: the URL is none that can be used.
    """

    def __init__(self, url: str) -> None:
        try:
            self._objects = Objects(url)
        except ValueError as error:
            raise SettingsInvalid(
                f"stream.checkpoints_url is {url!r}, which cannot be used: {error}"
            ) from error

    def shards(self) -> set[int]:
        """Return the shards that have one, or checkpoints."""
        return shard_numbers(self._objects.sizes())

    def files(self, index: int) -> "ShardObjects":
        """Return the files of a shard's feed."""
        return ShardObjects(self._objects, f"shard-{index:04d}/{_FOLDER}")

    def __str__(self) -> str:
        return self._objects.url


class ShardObjects:
    """The feed of one shard as objects.

    Args:
        objects: of all shards.
        folder: of this one's feed.
    """

    def __init__(self, objects: Objects, folder: str) -> None:
        self._objects = objects
        self._folder = folder
        self._terms: dict[LogName, str] = {}
        self._status: Status | None = None
        self._look_at = 0.0

    def status(self) -> Status | None:
        """Return the status that counts, as it was at the last look."""
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + _LOOK_SECONDS
            name = newest_status(self._objects.sizes(self._folder))
            self._status = unpack_status(self._objects.read(self._path(name))) if name else None
        return self._status

    def logs(self) -> list[LogName]:
        """Return the names of all objects that have writes."""
        terms = [name for name in self._objects.sizes(self._folder) if name.isdigit()]
        found = {
            name: term
            for term in sorted(terms)
            for text in self._objects.sizes(self._path(term))
            if (name := LogName.parse(text))
        }
        self._terms = found
        return list(found)

    def read(self, name: LogName, start: int, end: int | None = None) -> bytes:
        """Return a part of an object; None: up to its end."""
        return self._objects.read(self._place(name), start, end)

    def rewrite(self, name: LogName, content: bytes) -> None:
        """Replace an object."""
        self._objects.write(self._place(name), content)

    def put(self, term: int, name: LogName, content: bytes) -> None:
        """Put an object there."""
        self._terms[name] = f"{term:06d}"
        self.rewrite(name, content)

    def put_status(self, term: int, status: Status) -> None:
        """Put the status of a term there."""
        self._objects.write(self._path(status_name(term)), pack_status(status))

    def newest_term(self) -> int:
        """Return the highest term that has a status; -1: none has."""
        name = newest_status(self._objects.sizes(self._folder))
        return term_of(name) if name else -1

    def sizes(self) -> list[tuple[LogName, int]]:
        """Return the names and bytes of all objects that have writes, oldest first."""
        names = sorted(self.logs(), key=lambda name: (self._terms[name], name.first))
        sizes = {
            (term, text): size
            for term in set(self._terms.values())
            for text, size in self._objects.sizes(self._path(term)).items()
        }
        return [(name, sizes.get((self._terms[name], str(name)), 0)) for name in names]

    def remove(self, name: LogName) -> None:
        """Remove an object; gone already is as good."""
        self._objects.remove(self._place(name))

    def _path(self, name: str) -> str:
        return f"{self._folder}/{name}"

    def _place(self, name: LogName) -> str:
        return self._path(f"{self._terms[name]}/{name}")
