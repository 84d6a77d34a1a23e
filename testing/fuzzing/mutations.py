"""Changes to valid bytes, as data: so that a case can be told, repeated and shrunk."""

import json
import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

_MOST_CHANGES = 4  # of one input: more make noise that the first check refuses
_SHORT = 16  # bytes that a change inserts, removes or repeats at the most

# What numbers in layouts and text overflow at, and what parsers of JSON stumble over.
_INTEGERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
_TOKENS = (
    *(b"null", b"true", b"-1", b"0", b"1e999", b"-1e999", b"NaN", b"1.5", b"[]", b"{}", b'""'),
    *(b'"\\ud800"', b'"\\u0000"', b"9" * 400, b"[" * 2_000, b'{"a":' * 2_000, b'"' + b"x" * 9_000),
    *(b"\xff\xfe", b"\xed\xa0\x80", b"\x00" * 64, b"../../x", b"%s%n", b"\n", b"\r\n\xef\xbb\xbf"),
)
_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 2**63, 2**64, 10**400, 1.5, float("inf"), float("nan"), "", "\x00"),
    *("x" * 9_000, "\ud800", [], {}, [[[]]], {"a": {"a": None}}, ["", 0, None], "1970-01-01"),
)


class Change(NamedTuple):
    """One change to some bytes.

    Attributes:
        kind: index into `KINDS`, modulo how many there are.
        where: which byte, or which value of a JSON text, as a share of how many there
            are: 0 to before 1.
        amount: what is put there, or how much is taken away.
    """

    kind: int
    where: float
    amount: int


def random_changes(source: random.Random) -> list[Change]:
    """Return a few changes."""
    return [
        Change(source.randrange(len(KINDS)), source.random(), source.getrandbits(32))
        for _ in range(source.randint(1, _MOST_CHANGES))
    ]


def changed(content: bytes, changes: Sequence[Change]) -> bytes:
    """Return bytes after changes, made one after the other."""
    for change in changes:
        kind = KINDS[change.kind % len(KINDS)]
        content = kind(content, int(change.where * (len(content) + 1)), change.amount)
    return content


def _flip(content: bytes, at: int, amount: int) -> bytes:
    return (
        content[:at]
        + bytes(byte ^ 1 << amount % 8 for byte in content[at : at + 1])
        + (content[at + 1 :])
    )


def _replace(content: bytes, at: int, amount: int) -> bytes:
    return content[:at] + bytes([amount % 256]) + content[at + 1 :]


def _remove(content: bytes, at: int, amount: int) -> bytes:
    return content[:at] + content[at + 1 + amount % _SHORT :]


def _insert(content: bytes, at: int, amount: int) -> bytes:
    return (
        content[:at] + random.Random(amount).randbytes(1 + amount % _SHORT) + content[at:]
    )  # no secret


def _repeat(content: bytes, at: int, amount: int) -> bytes:
    piece = content[at : at + 1 + amount % _SHORT]
    return content[:at] + piece * (1 + amount // _SHORT % _SHORT) + content[at:]


def _cut(content: bytes, at: int, _amount: int) -> bytes:
    return content[:at]


def _move(content: bytes, at: int, amount: int) -> bytes:
    other = amount % (len(content) + 1)
    return content[:other] + content[at : at + _SHORT] + content[other:]


def _integer(content: bytes, at: int, amount: int) -> bytes:
    """Overwrite a number of a layout with one at which such numbers overflow."""
    width = (1, 2, 4, 8)[amount % 4]
    number = _INTEGERS[amount // 8 % len(_INTEGERS)] % (1 << 8 * width)
    packed = number.to_bytes(width, "little" if amount // 4 % 2 else "big")
    at -= at % width
    return content[:at] + packed + content[at + width :]


def _token(content: bytes, at: int, amount: int) -> bytes:
    end = at + amount // len(_TOKENS) % _SHORT
    return content[:at] + _TOKENS[amount % len(_TOKENS)] + content[end:]


def _json_value(content: bytes, at: int, amount: int) -> bytes:
    """Put another value into a JSON text; what is none stays as it is."""
    try:
        found = json.loads(content)
        places = list(_places(found))
        if not places:
            return content
        holder, name = places[at % len(places)]
        if amount % 8 == 0:
            del holder[name]
        elif amount % 8 == 1 and isinstance(holder, dict):
            holder[f"{name}~"] = holder.pop(name)
        else:
            holder[name] = _VALUES[amount // 8 % len(_VALUES)]
        return json.dumps(found).encode()
    except (ValueError, RecursionError):
        return content


def _places(found: Any) -> "list[tuple[Any, Any]]":
    """Return where the values of a JSON text are: what holds each, and its name."""
    names = (
        list(found)
        if isinstance(found, dict)
        else range(len(found))
        if isinstance(found, list)
        else ()
    )
    return [place for name in names for place in ((found, name), *_places(found[name]))]


KINDS: tuple[Callable[[bytes, int, int], bytes], ...] = (
    *(_flip, _replace, _remove, _insert, _repeat, _cut, _move, _integer, _token),
    *(_json_value, _json_value),
)
"""What can be done to bytes; JSON twice, since nothing else leaves it one."""
