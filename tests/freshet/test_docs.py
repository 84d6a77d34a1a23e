"""Tests that docs/reference.md and docs/operations.md say what the code does."""

from tests.freshet.reference import pages_with, tables


def test_the_tables_are_those_of_the_code() -> None:
    """Where this fails, `python -m tests.freshet.reference` brings
    the pages up to date.
    """
    for page, text in pages_with(tables()).items():
        assert page.read_text(encoding="utf-8") == text, page.name


def test_every_setting_is_explained() -> None:
    """A key without a meaning is of no use to an operator."""
    for name, table in tables().items():
        for row in table.splitlines():
            assert not row.endswith("|  |") or "**" in row, f"{name}: {row}"
