"""What recall is measured with: what is asked, will be asked, and is new."""

import numpy as np
import pytest

from model.artifact.encoder import TextEncoder
from model.publishing.index.questions import IndexedItems, Kind, ask
from testing.small_generations import DIM as ENCODED_DIM
from testing.small_generations import Catalogue, make_catalogue

TITLES = ["Red Kettle large", "Blue Lamp", "", "Violet Notebook A5", "red kettle LARGE"]


@pytest.fixture
def catalogue() -> Catalogue:
    """Return a catalogue with an encoder."""
    return make_catalogue(len(TITLES), ["red kettle large", "xbox"])


def items_of(catalogue: Catalogue, **changes: object) -> IndexedItems:
    """Return its items, all indexed."""
    count = len(catalogue.item_vectors)
    made: dict[str, object] = {
        "vectors": catalogue.item_vectors,
        "titles": TITLES,
        "catalog_ms": np.zeros(count, dtype=np.int64),
        "has_clicks": np.zeros(count, dtype=np.bool_),
        **changes,
    }
    return IndexedItems(**made)  # type: ignore[arg-type]


def test_unseen_texts_are_titles_that_nobody_searched_for(catalogue: Catalogue) -> None:
    """Or their beginnings; as a server encodes a query."""
    encoder = TextEncoder(catalogue.encoder_arrays)

    asked = ask(items_of(catalogue), catalogue.queries, catalogue.query_vectors, encoder)

    wanted = [encoder.encode(text) for text in ("blue lamp", "violet notebook")]
    assert asked[Kind.UNSEEN] == pytest.approx(np.array(wanted), abs=1e-6)
    assert np.array_equal(asked[Kind.KNOWN], catalogue.query_vectors)


def test_the_newest_items_are_asked_by_themselves(catalogue: Catalogue) -> None:
    """By the catalogue's time, and those without clicks before others."""
    items = items_of(
        catalogue,
        catalog_ms=np.array([5, 9, 0, 9, 1]),
        has_clicks=np.array([False, True, False, False, False]),
    )

    assert items.newest(3).tolist() == [3, 1, 0]
    assert items.newest(100).tolist() == [3, 1, 0, 4, 2]

    encoder = TextEncoder(catalogue.encoder_arrays)
    asked = ask(items, catalogue.queries, catalogue.query_vectors, encoder)[Kind.NEWEST]

    assert np.array_equal(asked[:5], catalogue.item_vectors[[3, 1, 0, 4, 2]])
    assert asked[5] == pytest.approx(encoder.encode("violet notebook a5"), abs=1e-6)


def test_a_catalogue_without_queries_and_titles_is_asked_for_its_items() -> None:
    """There is nothing else to ask."""
    catalogue = make_catalogue(300)
    items = items_of(catalogue, titles=[""] * 300)
    encoder = TextEncoder(catalogue.encoder_arrays)

    asked = ask(items, [], np.zeros((0, ENCODED_DIM), dtype=np.float32), encoder)

    assert len(asked[Kind.KNOWN]) == 200
    assert asked[Kind.UNSEEN].shape == (0, ENCODED_DIM)
    assert len(asked[Kind.NEWEST]) == 100


def test_an_empty_catalogue_is_asked_nothing_of_its_own() -> None:
    """A shop may have no item to show."""
    catalogue = make_catalogue(0)
    encoder = TextEncoder(catalogue.encoder_arrays)
    nothing = np.zeros((0, ENCODED_DIM), dtype=np.float32)

    asked = ask(items_of(catalogue, titles=[]), [], nothing, encoder)

    assert {kind: len(vectors) for kind, vectors in asked.items()} == dict.fromkeys(Kind, 0)
