"""What a format is made of."""

import pytest

from stream.events.format import Content, Format, json_format
from stream.events.limits import Limits
from stream.events.raw_columns import RawColumns, Rows, raw_columns_of
from stream.events.types import CatalogItem, Rejected
from testing.records import NOW_MS, SETTINGS

LIMITS = Limits.at(SETTINGS, NOW_MS)


def only_item(name: str) -> Content:
    """Return what a record with one item holds."""
    return Content([CatalogItem(item_id=name)])


def test_a_json_format_decodes_what_it_reads() -> None:
    """Bytes go through the same reader as JSON that is parsed already."""

    def read_columns(_values: object, rows: Rows) -> tuple[RawColumns, Rows]:
        return raw_columns_of([], []), rows

    form = json_format(
        name="items",
        keys=("sku",),
        content_types=("application/x",),
        read=lambda found, _: only_item(found["sku"]),
        read_columns=read_columns,
    )

    assert form.decode(b'{"sku": "a"}', LIMITS) == only_item("a")
    assert form.read is not None
    assert form.read({"sku": "a"}, LIMITS) == only_item("a")
    assert (form.name, form.keys, form.content_types) == ("items", ("sku",), ("application/x",))
    assert form.read_columns is read_columns
    with pytest.raises(Rejected, match="malformed"):
        form.decode(b"{", LIMITS)


def test_formats_are_told_apart_by_identity() -> None:
    """Two formats with the same parts are two: rows are grouped by them."""

    def decode(_value: bytes, _limits: Limits) -> Content:
        return only_item("a")

    assert len({Format(name="a", decode=decode), Format(name="a", decode=decode)}) == 2
