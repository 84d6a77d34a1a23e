"""Forms of files that are not JSON lines, told by their first bytes, and what to do
about each.
"""

import re

# A packed file goes through a pipe; %s is what unpacks it.
_THROUGH_A_PIPE = "unpack it on the way: %s FILE | freshet stream --source file:/dev/stdin ..."
_AS_LINES = "write one JSON object a line"
# The sixteen frames that zstd may begin with, and its readers pass over.
_SKIPPED_FRAMES = tuple(bytes([number]) + b"\x2a\x4d\x18" for number in range(0x50, 0x60))

_BINARY_FORMS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd", _THROUGH_A_PIPE % "zstd -dc"),
    *((mark, "is compressed with zstd", _THROUGH_A_PIPE % "zstd -dc") for mark in _SKIPPED_FRAMES),
    (b"\x1f\x8b", "is compressed with gzip twice", _THROUGH_A_PIPE % "zcat"),
    (b"\x1f\x9d", "is compressed with compress", _THROUGH_A_PIPE % "zcat"),
    (b"\x78\x9c", "is compressed with zlib", _THROUGH_A_PIPE % "pigz -dc"),
    (b"\x78\xda", "is compressed with zlib", _THROUGH_A_PIPE % "pigz -dc"),
    (b"BZh", "is compressed with bzip2", _THROUGH_A_PIPE % "bzip2 -dc"),
    (b"\xfd7zXZ\0", "is compressed with xz", _THROUGH_A_PIPE % "xz -dc"),
    (b"\x5d\0\0", "is compressed with lzma", _THROUGH_A_PIPE % "xz -dc --format=lzma"),
    (b"\x04\x22\x4d\x18", "is compressed with lz4", _THROUGH_A_PIPE % "lz4 -dc"),
    (b"\x02\x21\x4c\x18", "is compressed with lz4", _THROUGH_A_PIPE % "lz4 -dc"),
    (b"\xff\x06\0\0sNaPpY", "is compressed with snappy", "write it as gzip, or plain"),
    (b"PK\x03\x04", "is a ZIP archive", _THROUGH_A_PIPE % "unzip -p"),
    (b"PK\x05\x06", "is an empty ZIP archive", _AS_LINES),
    (b"7z\xbc\xaf\x27\x1c", "is a 7-Zip archive", _THROUGH_A_PIPE % "7z x -so"),
    (b"Rar!\x1a\x07", "is a RAR archive", _THROUGH_A_PIPE % "unrar p -inul"),
    (b"PAR1", "is a Parquet file", _AS_LINES),
    (b"Obj\x01", "is an Avro file", _AS_LINES),
    (b"ORC", "is an ORC file", _AS_LINES),
    (b"ARROW1", "is an Arrow file", _AS_LINES),
    (b"FEA1", "is a Feather file", _AS_LINES),
    (b"\x89HDF\r\n\x1a\n", "is an HDF5 file", _AS_LINES),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is a file of Microsoft Office", _AS_LINES),
    (b"%PDF-", "is a PDF file", _AS_LINES),
    (b"SQLite format 3\0", "is an SQLite database", _AS_LINES),
)
"""First bytes, what a file is that begins with them, and what to do."""

# UTF-32 is told before UTF-16, whose mark its own begins with.
_UTF_32 = (b"\xff\xfe\0\0", b"\0\0\xfe\xff")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff", b"{\0", b"\0{", b"[\0", b"\0[")
# Where a tar archive says what it is, as POSIX has it.
_TAR_MAGIC, _TAR_PLACE = b"ustar", 257
_TEXT_FORMS: tuple[tuple[re.Pattern[str], str | None], ...] = tuple(
    (re.compile(pattern), what)
    for pattern, what in (
        (r"\x1e", "is a JSON text sequence; use: tr -d '\\036'"),
        (r"[^\n]*\0", f"holds no text, for it has NUL characters; {_AS_LINES}"),
        (r"[^\n]*\r[^\n\r][^\n]*\Z", "ends its lines with carriage returns; use: tr '\\r' '\\n'"),
        (r"\[", f"starts like a JSON array; {_AS_LINES}, as by: jq -c '.[]' FILE"),
        (r"\{[^\n]*\},\s*\n", "has commas after its objects; take them away"),
        (r"\{[^\n]*\}[ \t\r]*\{", f"has many JSON objects in a line; {_AS_LINES}: jq -c . FILE"),
        (
            r"\{[^\n]*(?<![}\s])\s*\n",
            f"starts like JSON over many lines; {_AS_LINES}: jq -c . FILE",
        ),
        (r"\{", None),
        (r"<", f"starts like XML or HTML; {_AS_LINES}"),
        (
            r'[^\n{]+\{"[^\n]*\}[ \t\r]*(?:\n|\Z)',
            "has something before the JSON of a line; use: sed 's/^[^{]*//'",
        ),
        # With three fields at least: prose with a comma is no table.
        (
            r"[^\n]*,[^\n]*,|[^\n]*;[^\n]*;|[^\n]*\|[^\n]*\|",
            f"starts like a CSV table; {_AS_LINES}",
        ),
        (r"[^\n]*\t[^\n]*\t", f"starts like a table with tabs; {_AS_LINES}"),
        (r"", f"does not start like JSON; {_AS_LINES}"),
    )
)
"""What a text is that begins so, the first that fits, and what to do; None: it begins
like JSON lines.
"""


def binary_form(head: bytes) -> str | None:
    """Return what a file is that holds no lines of UTF-8, and what to do; None: it may
    well hold them.

    Args:
        head: the file's first bytes, unpacked.
    """
    for magic, what, advice in _BINARY_FORMS:
        if head.startswith(magic):
            return f"{what}; {advice}"
    if head.startswith(_UTF_32):
        return "is encoded in UTF-32; convert it: iconv -f UTF-32 -t UTF-8"
    if head.startswith(_UTF_16):
        return "is encoded in UTF-16; convert it: iconv -f UTF-16 -t UTF-8"
    if head[_TAR_PLACE:].startswith(_TAR_MAGIC):
        return f"is a tar archive; {_THROUGH_A_PIPE % 'tar -xOf'}"
    return None


def text_form(head: bytes) -> str | None:
    """Return what a text is that is not JSON lines, and what to do; None: it begins
    like them.

    Args:
        head: the file's first bytes, without byte order mark.
    """
    text = head.decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    return next(what for pattern, what in _TEXT_FORMS if pattern.match(text))
