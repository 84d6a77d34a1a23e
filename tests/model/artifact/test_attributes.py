"""The attributes of a generation: what is stored is what the catalogue said."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.artifact.attributes.build import build_attributes
from model.artifact.attributes.table import AttributeTable
from model.artifact.checks.attributes import attributes_fault
from model.artifact.checks.verified import open_verified
from model.artifact.generation import open_generation
from model.errors import GenerationCorrupt
from protos.attributes import askable, members_of, number_of
from stream.graph.attributes import attribute_columns
from testing.small_generations import Artifacts, make_catalogue

NAMES = ["brand", "price", "colour", "größe"]
VALUES = ["acme", "Zeta", "9", "10", "1e1", "-3.5", "red", "red, blue", "blue, 10", "", "x" * 300]

catalogues = st.lists(st.dictionaries(st.sampled_from(NAMES), st.sampled_from(VALUES)), max_size=12)


def table_of(items: Sequence[dict[str, str]]) -> AttributeTable:
    """Return the table of a generation that has all these items."""
    return build_attributes(attribute_columns(items), np.arange(len(items)))


@given(items=catalogues)
def test_every_item_has_the_attributes_that_filters_may_ask_for(
    items: list[dict[str, str]],
) -> None:
    """And no others; the table is sound."""
    table = table_of(items)

    assert attributes_fault(table, len(items)) == ""
    assert [table.attributes_of(item) for item in range(len(items))] == [
        dict(sorted(askable(attributes).items())) for attributes in items
    ]
    assert list(table.names) == sorted({name for item in items for name in askable(item)})


@given(items=catalogues)
def test_every_value_has_its_items_and_its_lists(items: list[dict[str, str]]) -> None:
    """Found by its text; ascending, numbers first, by their size."""
    table = table_of(items)
    for name, number in table.number_of_name.items():
        first, last = table.values_of(number)
        found = {}
        for value in range(first, last):
            begin, end = table.posting_starts[value : value + 2]
            found[table.values[value]] = table.posting_items[begin:end].tolist()
            assert table.find(number, table.values[value]) == value
            lists = table.list_values[table.list_starts[value] : table.list_starts[value + 1]]
            assert {table.values[each] for each in lists} == {
                each for each in table.values[first:last] if table.values[value] in members_of(each)
            }
        expected: dict[str, list[int]] = {}
        for item, attributes in enumerate(items):
            value_text = askable(attributes).get(name)
            if value_text is not None:
                expected.setdefault(value_text, []).append(item)
                for member in members_of(value_text):
                    expected.setdefault(member, [])
        assert found == expected
        assert table.find(number, "nobody has it") is None
        assert table.find(number, "77") is None
        end = table.numeric_end(number)
        texts = table.values[first:last]
        assert all(not math.isnan(number_of(text)) for text in texts[: end - first])
        assert all(math.isnan(number_of(text)) for text in texts[end - first :])


def test_values_of_items_are_found_also_where_some_lack_them() -> None:
    """-1 stands for no value and for no item."""
    table = table_of([{"brand": "acme"}, {}, {"brand": "zeta"}, {"colour": "red"}])
    brand, colour = table.number_of_name["brand"], table.number_of_name["colour"]

    def texts(name: int, items: list[int]) -> list[str | None]:
        found = table.of_items(name, np.array(items)).tolist()
        return [None if value < 0 else table.values[value] for value in found]

    assert texts(brand, [2, 0, 1, -1, 3]) == ["zeta", "acme", None, None, None]
    assert texts(colour, [3, 0, -1]) == ["red", None, None]
    every = table_of([{"brand": "acme"}, {"brand": "zeta"}, {}])
    assert every.of_items(0, np.array([1, 2, -1, 0])).tolist() == [1, -1, -1, 0]


def test_items_that_the_generation_lacks_leave_nothing_behind() -> None:
    """Deleted items have no number in it, and their values are nobody's."""
    columns = attribute_columns([{"brand": "acme"}, {"brand": "gone", "old": "1"}, {"brand": "z"}])

    table = build_attributes(columns, np.array([0, 2]))

    assert list(table.names) == ["brand"]
    assert list(table.values) == ["acme", "z"]
    assert [table.attributes_of(item) for item in range(2)] == [{"brand": "acme"}, {"brand": "z"}]
    assert attributes_fault(build_attributes(columns, np.zeros(0, dtype=np.int64)), 0) == ""


@pytest.mark.parametrize(
    ("name", "row", "value", "fault"),
    [
        ("numbers", 0, 11.0, "numbers.npy"),
        ("numbers", 0, np.nan, "numbers.npy"),
        ("numbers", -1, 5.0, "numbers.npy"),
        ("value_starts", 1, 0, "value_starts.npy"),
        ("value_starts", 1, -4, "value_starts.npy"),
        ("posting_starts", 1, 9, "posting_starts.npy"),
        ("posting_items", 0, 7, "posting_items.npy"),
        ("posting_items", 0, -1, "posting_items.npy"),
        ("posting_items", 0, 1, "posting_items.npy"),
        ("column_items", 0, 3, "column_items.npy"),
        ("column_values", 0, 99, "column_values.npy"),
        ("column_values", 0, 5, "column_values.npy"),
        ("column_values", 0, 1, "posting_items.npy"),
        ("list_starts", 1, -1, "list_starts.npy"),
        ("list_values", 0, 0, "list_values.npy"),
    ],
)
def test_a_wrong_number_is_found(name: str, row: int, value: float, fault: str) -> None:
    """Whatever it is: out of range, out of order, of another attribute, of others'."""
    items = [{"a": "9", "b": "x, y"}, {"a": "10", "b": "z"}, {"a": "zz"}]
    table = table_of(items)
    assert attributes_fault(table, len(items)) == ""
    array = getattr(table, name).copy()
    array[row] = value

    assert attributes_fault(replace(table, **{name: array}), len(items)).startswith(fault)


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    """Return an empty folder of generations."""
    return Artifacts(tmp_path / "artifacts")


def test_a_generation_brings_its_attributes(artifacts: Artifacts) -> None:
    """Mapped; one from before they were stored has none, one of a catalogue without
    any has an empty table.
    """
    catalogue = make_catalogue(5, ["lamp"])
    old = open_verified(artifacts.store.generation_path(artifacts.write(catalogue)))
    catalogue.attributes = [{} for _ in range(5)]
    empty = open_verified(artifacts.store.generation_path(artifacts.write(catalogue)))
    catalogue.attributes = [{"brand": f"brand {item}"} for item in range(5)]
    new = open_verified(artifacts.store.generation_path(artifacts.write(catalogue)))

    assert old.attributes is None
    assert empty.attributes is not None
    assert list(empty.attributes.names) == []
    assert new.attributes is not None
    for item, item_id in enumerate(new.item_ids):
        number = item_id.rpartition("/")[2]
        assert new.attributes.attributes_of(item) == {"brand": f"brand {number}"}


def test_a_generation_with_half_of_its_attributes_is_refused(artifacts: Artifacts) -> None:
    """All files of them or none."""

    def break_it(folder: Path) -> None:
        (folder / "attributes.numbers.npy").unlink()

    catalogue = make_catalogue(5, ["lamp"])
    catalogue.attributes = [{"brand": "acme"}] * 5
    generation_id = artifacts.write(catalogue, break_it=break_it)

    with pytest.raises(GenerationCorrupt, match="numbers"):
        open_generation(artifacts.store.generation_path(generation_id))
