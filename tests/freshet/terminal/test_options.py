"""Tests of the values that options take."""

from pathlib import Path

import click
import pytest

from freshet.terminal.options import (
    BROKERS,
    FILE,
    FOLDER,
    SOURCE,
    SPEED,
    TIME,
    NamedPath,
    NumberType,
    SourceAddress,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("file:a/*.jsonl", SourceAddress(kind="file", value="a/*.jsonl")),
        ("file:C:odd:name", SourceAddress(kind="file", value="C:odd:name")),
        ("kafka:host:9092", SourceAddress(kind="kafka", value="host:9092")),
        ("kafka:kafka:19092", SourceAddress(kind="kafka", value="kafka:19092")),
        ("kafka:a:1,b:2,[::1]:3", SourceAddress(kind="kafka", value="a:1,b:2,[::1]:3")),
    ],
)
def test_sources(text: str, expected: SourceAddress) -> None:
    """The scheme goes, the rest stays; a host may be called kafka, a file anything."""
    assert SOURCE.convert(text, None, None) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kafka:host:9092", "host:9092"),
        ("host:9092,other:9093", "host:9092,other:9093"),
        ("kafka:9092", "kafka:9092"),
        ("kafka:kafka:9092,kafka2:9092", "kafka:9092,kafka2:9092"),
        ("kafka:9092,kafka2:9092", "kafka:9092,kafka2:9092"),
    ],
)
def test_brokers(text: str, expected: str) -> None:
    """With the scheme or without, also where the host is called like it."""
    assert BROKERS.convert(text, None, None) == expected


def test_speeds() -> None:
    """A number of times real time; max is as fast as possible."""
    assert SPEED.convert("max", None, None) == 0.0
    assert SPEED.convert("2.5", None, None) == 2.5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2023-11-14T22:13:20Z", 1_700_000_000_000),
        ("2023-11-14 22:13:20", 1_700_000_000_000),
        ("2023-11-14T23:13:20.5+01:00", 1_700_000_000_500),
        ("2023-11-14", 1_699_920_000_000),
        ("90s", 1_700_000_000_000),
        ("1h30m", 1_700_000_090_000 - 5_400_000),
    ],
)
def test_times(text: str, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """ISO 8601, in UTC where nothing else is said, or a duration ago."""
    monkeypatch.setattr("freshet.terminal.options.now_ms", lambda: 1_700_000_090_000)

    assert TIME.convert(text, None, None) == expected


@pytest.mark.parametrize("path_type", [FOLDER, FILE])
def test_an_empty_path_is_not_the_current_folder(path_type: NamedPath) -> None:
    """A variable that is not set makes one."""
    with pytest.raises(click.UsageError, match=r"empty; name one, or \. for the current"):
        path_type.convert("", None, None)

    assert path_type.convert(".", None, None) == Path()


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999", "0"])
def test_numbers_are_finite_and_within_bounds(text: str) -> None:
    """NaN is within all bounds as Python compares, an infinity where one is open."""
    with pytest.raises(click.BadParameter):
        NumberType(min=0, min_open=True).convert(text, None, None)
    assert NumberType(min=0, min_open=True).convert("2.5", None, None) == 2.5
