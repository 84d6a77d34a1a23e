"""The file of tokens."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from server.errors import SettingsInvalid
from server.security.tokens import TokenFile, TokenVerdict, new_token


@dataclass
class Clock:
    """A clock that a test moves."""

    seconds: float = 1_800_000_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.seconds


def test_a_token_is_known_by_its_hash_alone(tmp_path: Path) -> None:
    """The file has no token in it, and lets in whoever has one."""
    token, line = new_token("search-team")
    (tmp_path / "tokens").write_text(f"# who may call\n\n{line}  # since Monday\n")

    tokens = TokenFile(tmp_path / "tokens")

    assert token not in line
    assert tokens.verdict(token) == TokenVerdict(name="search-team")
    assert tokens.verdict(token[:-1]) == TokenVerdict()
    assert tokens.verdict("") == TokenVerdict()
    assert tokens.verdict("\ud800") == TokenVerdict()


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    """As editors of Windows put one before the first line."""
    token, line = new_token("team")
    path = tmp_path / "tokens"
    path.write_bytes(b"\xef\xbb\xbf" + line.encode())

    assert TokenFile(path).verdict(token).name == "team"


def test_a_token_expires(tmp_path: Path) -> None:
    """At its time, which is said."""
    token, line = new_token("batch")
    (tmp_path / "tokens").write_text(f"{line} 2027-01-15T08:00:00Z\n")
    clock = Clock(1_800_000_000.0 - 1)  # a second before that
    tokens = TokenFile(tmp_path / "tokens", clock=clock)
    assert tokens.verdict(token).name == "batch"

    clock.seconds += 1

    assert tokens.verdict(token) == TokenVerdict(has_expired=True)


def test_tokens_are_rotated_without_a_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A changed file counts a second later; one that cannot be read changes nothing."""
    (old, old_line), (new, new_line) = new_token("team"), new_token("team")
    path, clock = tmp_path / "tokens", Clock()
    path.write_text(old_line)
    tokens = TokenFile(path, clock=clock)

    path.write_text(f"{old_line}\n{new_line}\n")
    clock.seconds += 2
    assert tokens.verdict(old).name == tokens.verdict(new).name == "team"
    path.write_text(f"{new_line}\n")
    clock.seconds += 2
    assert tokens.verdict(old) == TokenVerdict()
    path.write_text("rubbish\n")
    clock.seconds += 2
    assert tokens.verdict(new).name == "team"

    assert "tokens_not_read_again" in caplog.text


@pytest.mark.parametrize("text", ["name", "name short", "a b c d", f"na/me {'0' * 64}", "\x00"])
def test_a_wrong_line_is_named(tmp_path: Path, text: str) -> None:
    """With its number, and what writes right ones."""
    (tmp_path / "tokens").write_text(f"# one\n{text}\n")

    with pytest.raises(SettingsInvalid, match="line 2"):
        TokenFile(tmp_path / "tokens")


def test_a_name_that_no_caller_can_have_is_refused() -> None:
    """Before it is in a file."""
    with pytest.raises(SettingsInvalid, match="name"):
        new_token("two words")
