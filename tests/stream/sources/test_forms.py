"""What a file is that is not JSON lines is told by its first bytes."""

import bz2
import io
import lzma
import tarfile
import zipfile
import zlib

import pytest

from stream.sources.forms import binary_form, text_form

LINE = b'{"ts_ms": 1700000000000, "item_id": "sku-1"}\n'


def in_tar(content: bytes) -> bytes:
    """Return a tar archive of one file."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("e.jsonl")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def in_zip(content: bytes) -> bytes:
    """Return a ZIP archive of one file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("e.jsonl", content)
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"\x28\xb5\x2f\xfd\x04\x00", "compressed with zstd; unpack it on the way: zstd -dc"),
        (bz2.compress(LINE), "compressed with bzip2"),
        (lzma.compress(LINE), "compressed with xz"),
        (b"\x04\x22\x4d\x18\x64\x40", "compressed with lz4"),
        (b"\x50\x2a\x4d\x18\4\0\0\0abcd\x28\xb5\x2f\xfd", "compressed with zstd"),
        (b"\x02\x21\x4c\x18\x64\x40", "compressed with lz4"),
        (lzma.compress(LINE, format=lzma.FORMAT_ALONE), "compressed with lzma"),
        (zlib.compress(LINE), "compressed with zlib"),
        (zlib.compress(LINE, 9), "compressed with zlib"),
        (b"\x1f\x9d\x90abc", "compressed with compress"),
        (b"7z\xbc\xaf\x27\x1c\0\4", "a 7-Zip archive"),
        (b"Rar!\x1a\x07\x01\0", "a RAR archive"),
        (b"PK\5\6" + b"\0" * 18, "an empty ZIP archive"),
        (b"%PDF-1.7\n", "a PDF file"),
        (in_zip(LINE), "a ZIP archive"),
        (in_tar(LINE), "a tar archive"),
        (b"PAR1\x15\x04", "a Parquet file"),
        (b"Obj\x01\x04\x14", "an Avro file"),
        (LINE.decode().encode("utf-16"), "encoded in UTF-16; convert it: iconv"),
        (LINE.decode().encode("utf-16-le"), "encoded in UTF-16"),
        (LINE.decode().encode("utf-16-be"), "encoded in UTF-16"),
        (LINE.decode().encode("utf-32"), "encoded in UTF-32"),
    ],
)
def test_binary_form(content: bytes, what: str) -> None:
    """Packed files, tables of other programs and other encodings have a name."""
    found = binary_form(content)
    assert found is not None
    assert what in found


@pytest.mark.parametrize("content", [LINE, b"", b"\xef\xbb\xbf" + LINE, b"[1]", b"\xff\xff", b"a"])
def test_text_is_no_binary_form(content: bytes) -> None:
    """Whatever may hold lines is read as lines."""
    assert binary_form(content) is None


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"[" + LINE[:-1] + b"," + LINE[:-1] + b"]", "a JSON array"),
        (b"\n [\n" + LINE, "a JSON array"),
        (b'\xef\xbb\xbf[{"a":1}]', "a JSON array"),
        (b'{"events": [\n' + LINE + b"]}", "JSON over many lines"),
        (b'{\r\n  "ts_ms": 1\r\n}\r\n', "JSON over many lines"),
        (LINE[:-1] + b",\n" + LINE, "commas after its objects"),
        (LINE[:-1] + LINE, "many JSON objects in a line"),
        (LINE[:-1] + b"\r" + LINE[:-1] + b"\r", "carriage returns"),
        (b"ts_ms,type,item_id\n1,click,a\n", "a CSV table"),
        (b"ts_ms;type;item_id\r\n1;click;a\r\n", "a CSV table"),
        (b"ts_ms\ttype\titem_id\n", "a table with tabs"),
        (b"\x1e" + LINE + b"\x1e" + LINE, "JSON text sequence; use: tr -d '\\036'"),
        (LINE[:-1] + b"\0\n", "NUL characters"),
        (b"2026-05-28 12:00:00,123 INFO shop " + LINE, "something before the JSON of a line"),
        (b"event: " + LINE, "use: sed 's/^[^{]*//'"),
        (b"<?xml version='1.0'?>\n<events/>", "XML or HTML"),
        (b"hello, world\n", "does not start like JSON"),
        (b"\xff\x01\x81", "does not start like JSON"),
    ],
)
def test_text_form(content: bytes, what: str) -> None:
    """Texts that are no JSON lines have a name, whatever marks and spaces lead."""
    found = text_form(content)
    assert found is not None
    assert what in found


@pytest.mark.parametrize("content", [LINE, LINE * 3, LINE.replace(b"\n", b"\r\n") * 2, LINE[:20]])
def test_json_lines_are_of_the_form(content: bytes) -> None:
    """What begins like JSON lines is left to what is said of its lines."""
    assert text_form(content) is None
