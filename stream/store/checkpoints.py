"""Checkpoints of shards at an fsspec URL: put there, found, verified, fetched, pruned.

::

    URL/shard-0003/
      000007.term                      whoever writes the shard's has this term
      000007-000000000123.json         a checkpoint: term and sequence; last written
      files/<sha256>                   the files of its checkpoints, each once
      erased/user-<key>.json           an erasure that was asked for by hand

A checkpoint with a higher term, then a higher sequence, is newer. Whoever gets a shard
claims the next term, so that nothing which an earlier holder still puts there is ever
the newest.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from uuid import uuid4

import msgspec

from stream.errors import (
    PARSE_ERRORS,
    CheckpointDamaged,
    CheckpointRefused,
    CheckpointsUnavailable,
    SettingsInvalid,
    StreamError,
    refusal,
)
from stream.events.types import SourcePartition
from stream.files import sha256_of
from stream.objects import Objects
from stream.shard.codec import ErasureKind, ErasureTombstone
from stream.shard.fencing import shard_name

# Checkpoints of a shard; the second is for when a file of the newest is damaged.
# Twice as many: twice what the shards' changes take at the URL.
KEPT_CHECKPOINTS = 2

_FORMAT_VERSION = 1  # of a checkpoint's manifest, docs/formats.md
_FILES = "files"
_ERASED = "erased"
_TERM = re.compile(r"(\d{6,})\.term")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MANIFEST = re.compile(r"(\d{6,})-(\d{12,})\.json")


class CheckpointFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a checkpoint.

    Attributes:
        name: in the database's folder.
        size: bytes.
        sha256: of the content, in hexadecimal; also its name in ``files``.
    """

    name: str
    size: int
    sha256: str


class StoredPosition(msgspec.Struct, frozen=True, kw_only=True):
    """A position in a checkpoint's manifest."""

    source: str
    partition: int
    next_offset: int


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint's manifest says.

    Attributes:
        format_version: of the manifest.
        shard: whose it is.
        term: of the process that made it.
        sequence: of the shard's state: writes so far.
        positions: the next offset of every partition that was applied.
        files: of the database.
    """

    format_version: int
    shard: int
    term: int
    sequence: int
    positions: tuple[StoredPosition, ...]
    files: tuple[CheckpointFile, ...]

    @property
    def offset_sum(self) -> int:
        """The sum of its offsets: the larger, the newer the copy."""
        return sum(position.next_offset for position in self.positions)


class NotedErasure(msgspec.Struct, frozen=True, kw_only=True):
    """An erasure by hand, for whoever has a copy of the shard that is without it.

    A topic says so to every copy; what is done by hand, one copy alone knows.

    Attributes:
        kind: what `key` is of.
        key: of the text that is erased, in hexadecimal.
        asked_ms: when it was asked for.
    """

    kind: ErasureKind
    key: str
    asked_ms: int

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"{self.kind}-{self.key}.json"

    @property
    def tombstone(self) -> ErasureTombstone:
        """The erasure as a shard has it that is still to carry it out."""
        return ErasureTombstone(self.kind, int(self.key, 16), self.asked_ms)


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A term of one shard, and a random mark that tells two claims of
    one number apart.
    """

    shard: int
    term: int
    mark: str


class Checkpoints:
    """The checkpoints of all shards at one URL.

    Args:
        url: a folder, or a URL that fsspec knows.

    Raises:
        SettingsInvalid: the URL is none that can be used.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._hashes: dict[int, dict[tuple[int, int, int], str]] = {}
        self._distrusted: set[str] = set()
        try:
            self._objects = Objects(url)
        except ValueError as error:
            raise SettingsInvalid(
                f"stream.checkpoints_url is {url!r}, which cannot be used: {error}"
            ) from error

    def newest_first(self, shard: int) -> list[str]:
        """Return the names of a shard's checkpoints, the newest first.

        Raises:
            CheckpointsUnavailable: the URL cannot be reached.
        """
        found = [match for match in map(_MANIFEST.fullmatch, self._sizes(_path(shard))) if match]
        found.sort(key=lambda match: (int(match[1]), int(match[2])), reverse=True)
        return [match[0] for match in found]

    def read(self, shard: int, name: str) -> Checkpoint:
        """Return what a checkpoint's manifest says.

        Raises:
            CheckpointDamaged: it is cut short, or is not that of the shard.
            CheckpointsUnavailable: the URL cannot be reached.
        """
        with self._reaching(missing=CheckpointDamaged):
            content = self._objects.read(_path(shard, name))
        try:
            checkpoint = msgspec.json.decode(content, type=Checkpoint)
        except PARSE_ERRORS as error:
            raise CheckpointDamaged(f"{name} does not parse ({error})") from error
        if (checkpoint.format_version, checkpoint.shard) != (_FORMAT_VERSION, shard):
            raise CheckpointDamaged(
                f"{name} has format version {checkpoint.format_version} and is of shard "
                f"{checkpoint.shard}"
            )
        if any(PurePosixPath(file.name).name != file.name for file in checkpoint.files):
            raise CheckpointDamaged(f"{name} names a file outside its folder")
        return checkpoint

    def claim(self, shard: int) -> Claim:
        """Begin a new term of a shard.

        What earlier holders put there is never the newest any more.

        Raises:
            CheckpointsUnavailable: the URL cannot be reached.
        """
        claim = Claim(
            shard=shard, term=_highest_term(self._sizes(_path(shard))) + 1, mark=uuid4().hex
        )
        with self._reaching():
            self._objects.write(_term_path(claim), claim.mark.encode())
        return claim

    def note_erasure(self, shard: int, erasure: NotedErasure) -> None:
        """Note an erasure by hand, before it is carried out anywhere.

        Raises:
            CheckpointsUnavailable: the URL cannot be reached.
        """
        with self._reaching():
            path = _path(shard, _ERASED, erasure.name)
            self._objects.write(path, msgspec.json.encode(erasure) + b"\n")

    def forget_erasure(self, shard: int, erasure: NotedErasure) -> None:
        """Remove the note of an erasure that is lifted.

        Raises:
            CheckpointsUnavailable: the URL cannot be reached.
        """
        with self._reaching():
            self._objects.remove(_path(shard, _ERASED, erasure.name))

    def noted_erasures(self, shard: int) -> tuple[list[NotedErasure], int]:
        """Return the erasures that were noted, and how many notes do not parse.

        Raises:
            CheckpointsUnavailable: the URL cannot be reached.
        """
        erasures, num_damaged = [], 0
        for name in self._sizes(_path(shard, _ERASED)):
            with self._reaching():
                content = self._objects.read(_path(shard, _ERASED, name))
            try:
                erasures.append(msgspec.json.decode(content, type=NotedErasure))
            except PARSE_ERRORS:
                num_damaged += 1
        return erasures, num_damaged

    def fetch(self, checkpoint: Checkpoint, folder: Path) -> None:
        """Put the files of a checkpoint into a folder and verify them.

        Raises:
            CheckpointDamaged: a file is missing, or is not what the manifest says.
            CheckpointsUnavailable: the URL cannot be reached.
        """
        for file in checkpoint.files:
            target = folder / file.name
            with self._reaching(missing=CheckpointDamaged):
                self._objects.fetch(_path(checkpoint.shard, _FILES, file.sha256), target)
            if target.stat().st_size != file.size or sha256_of(target) != file.sha256:
                self._distrusted.add(file.sha256)
                raise CheckpointDamaged(
                    f"{file.name} of a checkpoint of shard {checkpoint.shard} at {self._url} is "
                    "not what its "
                    "manifest says"
                )

    def put(
        self,
        claim: Claim,
        folder: Path,
        sequence: int,
        positions: Mapping[SourcePartition, int],
        is_wanted: Callable[[], bool],
        *,
        num_kept: int = KEPT_CHECKPOINTS,
    ) -> Checkpoint:
        """Put a checkpoint there: files that are missing, then the manifest.

        Then prune.

        Args:
            claim: who puts it there.
            folder: of the database; nobody changes it.
            sequence: of the shard's state in it.
            positions: the shard's positions in it.
            is_wanted: asked once more before the manifest is written.
            num_kept: how many checkpoints stay, this one included.

        Raises:
            CheckpointRefused: somebody else has claimed the shard since, or it is not
                wanted any more.
            CheckpointsUnavailable: the URL cannot be reached.
        """
        checkpoint = Checkpoint(
            format_version=_FORMAT_VERSION,
            shard=claim.shard,
            term=claim.term,
            sequence=sequence,
            positions=tuple(
                StoredPosition(
                    source=position.source, partition=position.partition, next_offset=next_offset
                )
                for position, next_offset in positions.items()
            ),
            files=self._describe(claim.shard, folder),
        )
        self._check_claim(claim)
        self._put_files(checkpoint, folder)
        self._check_claim(claim)
        if not is_wanted():
            raise CheckpointRefused(f"shard {claim.shard} is not this process's any more")
        with self._reaching():
            path = _path(claim.shard, _manifest_name(checkpoint))
            self._objects.write(path, msgspec.json.encode(checkpoint) + b"\n")
        self._prune(claim, num_kept)
        return checkpoint

    def _put_files(self, checkpoint: Checkpoint, folder: Path) -> None:
        present = self._data_files(checkpoint.shard)
        for file in checkpoint.files:
            if present.get(file.sha256) != file.size or file.sha256 in self._distrusted:
                with self._reaching():
                    path = _path(checkpoint.shard, _FILES, file.sha256)
                    self._objects.put(folder / file.name, path)
                self._distrusted.discard(file.sha256)

    def _prune(self, claim: Claim, num_kept: int) -> None:
        """Keep the newest checkpoints that can be read, their files, and the newest
        term.
        """
        kept = self._newest_readable(claim.shard, num_kept)
        needed = {file.sha256 for checkpoint in kept.values() for file in checkpoint.files}
        old = [name for name in self.newest_first(claim.shard) if name not in kept]
        terms = [match for match in map(_TERM.fullmatch, self._sizes(_path(claim.shard))) if match]
        old += [match[0] for match in terms if int(match[1]) < claim.term]
        present = self._data_files(claim.shard)
        old += [f"{_FILES}/{sha256}" for sha256 in present if sha256 not in needed]
        for name in old:
            with self._reaching():
                self._objects.remove(_path(claim.shard, name))
        with self._reaching():
            self._objects.remove_leftovers(_path(claim.shard))

    def _newest_readable(self, shard: int, most: int) -> dict[str, Checkpoint]:
        kept: dict[str, Checkpoint] = {}
        for name in self.newest_first(shard):
            with suppress(CheckpointDamaged):
                kept[name] = self.read(shard, name)
            if len(kept) == most:
                break
        return kept

    def _check_claim(self, claim: Claim) -> None:
        with self._reaching():
            is_highest = _highest_term(self._sizes(_path(claim.shard))) == claim.term
            if is_highest and self._objects.read(_term_path(claim)) == claim.mark.encode():
                return
        raise CheckpointRefused(
            f"another process keeps the checkpoints of shard {claim.shard} at {self._url} by now"
        )

    def _describe(self, shard: int, folder: Path) -> tuple[CheckpointFile, ...]:
        """Hash a database's files; data files never change, so those that are known are
        not read again.
        """
        known, found = self._hashes.get(shard, {}), {}
        files = []
        for path in sorted(folder.iterdir()):
            status = path.stat()
            identity = (status.st_ino, status.st_size, status.st_mtime_ns)
            sha256 = (known.get(identity) if path.suffix == ".sst" else None) or sha256_of(path)
            found[identity] = sha256
            files.append(CheckpointFile(name=path.name, size=status.st_size, sha256=sha256))
        self._hashes[shard] = found
        return tuple(files)

    def _data_files(self, shard: int) -> dict[str, int]:
        """Return the sha256 of the data files that are there, and the bytes of each."""
        sizes = self._sizes(_path(shard, _FILES))
        return {name: size for name, size in sizes.items() if _SHA256.fullmatch(name)}

    def _sizes(self, folder: str) -> dict[str, int]:
        with self._reaching():
            return self._objects.sizes(folder)

    @contextmanager
    def _reaching(self, missing: type[StreamError] = CheckpointsUnavailable) -> Iterator[None]:
        """Say what fails in our own words."""
        try:
            yield
        except FileNotFoundError as error:
            raise missing(
                f"a file of the checkpoints at {self._url} is not there ({error})"
            ) from error
        except OSError as error:
            raise CheckpointsUnavailable(
                f"the checkpoints at {self._url} cannot be reached ({error}); "
                f"{refusal(error) or 'check URL, network and rights'}"
            ) from error


def _path(shard: int, *names: str) -> str:
    return "/".join((shard_name(shard), *names))


def _term_path(claim: Claim) -> str:
    return _path(claim.shard, f"{claim.term:06d}.term")


def _highest_term(names: Iterable[str]) -> int:
    found = (_TERM.fullmatch(name) or _MANIFEST.fullmatch(name) for name in names)
    return max((int(match[1]) for match in found if match), default=0)


def _manifest_name(checkpoint: Checkpoint) -> str:
    return f"{checkpoint.term:06d}-{checkpoint.sequence:012d}.json"
