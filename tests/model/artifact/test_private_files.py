"""Copies of files in memory: what is copied is what is summed up and read."""

import hashlib
from pathlib import Path

import pytest

from model.artifact.private_files import PrivateFiles


@pytest.mark.parametrize("size_bytes", [0, 1, 262_144, 1_000_001])
def test_a_copy_has_the_content_and_its_sha256(tmp_path: Path, size_bytes: int) -> None:
    """Also of nothing, and of more than is copied at once."""
    content, path = (bytes(range(256)) * 4000)[:size_bytes], tmp_path / "file"
    path.write_bytes(content)
    files = PrivateFiles()

    copy = files(path)

    assert copy.read_bytes() == content
    assert files.digest_of(copy) == hashlib.sha256(content).hexdigest()
    files.close()


@pytest.mark.parametrize("copies", [True, False])
def test_a_sha256_is_of_what_is_read(tmp_path: Path, copies: bool) -> None:
    """Of the copy, whatever becomes of the file; of the file where there is no copy."""
    path = tmp_path / "file"
    path.write_bytes(b"first")
    files = PrivateFiles(copies=copies)
    content = files(path)
    path.write_bytes(b"second")

    assert files.digest_of(content) == hashlib.sha256(content.read_bytes()).hexdigest()
    assert content.read_bytes() == (b"first" if copies else b"second")
    files.close()


def test_a_file_that_was_closed_lends_its_sha256_to_no_other(tmp_path: Path) -> None:
    """Its descriptor is another file's then."""
    (tmp_path / "one").write_bytes(b"one")
    (tmp_path / "two").write_bytes(b"two")
    files = PrivateFiles()
    files.digest_of(files(tmp_path / "one"))
    files.close()

    two = files(tmp_path / "two")

    assert files.digest_of(two) == hashlib.sha256(b"two").hexdigest()
    files.close()
