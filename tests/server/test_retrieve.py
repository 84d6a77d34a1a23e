"""A query's text to ranked items."""

import dataclasses

import numpy as np
import pytest

from model.artifact.arrays.strings import string_table
from server.errors import QueryRefused
from server.live import LiveGeneration
from server.overlay.vectors import known_vector
from server.overlay.view import LiveView
from server.retrieve import QueryPath, RetrievalQuery, parse_request, retrieve
from server.settings import ServerSettings
from testing.small_generations import Artifacts, Catalogue, make_catalogue

SETTINGS = ServerSettings(default_k=7, max_k=50, max_query_chars=100)
QUERIES = [
    "xbox 360",
    "halo 3",
    "café crème",
    "игра",
    "カメラ",
    *[f"query {n}" for n in range(200)],
]


@pytest.fixture
def catalogue() -> Catalogue:
    """A few hundred items, some of which must not be shown."""
    made = make_catalogue(300, QUERIES)
    made.hidden = frozenset(range(0, 300, 11))
    return made


@pytest.fixture
def live(artifacts: Artifacts, catalogue: Catalogue) -> LiveView:
    """The catalogue, live."""
    path = artifacts.store.generation_path(artifacts.write(catalogue))
    return LiveView.bare(LiveGeneration.load(path, SETTINGS))


def ids(live: LiveView, items: list[int]) -> list[str]:
    """External ids of item indexes."""
    return [f"{live.generation_id}/{item}" for item in items]


def test_every_known_query_is_answered_from_its_own_vector(
    live: LiveView, catalogue: Catalogue
) -> None:
    """A known query gets the items nearest to its vector, best first, with their titles
    and cosines.
    """
    for query in QUERIES:
        answer = retrieve(live, RetrievalQuery(query=query, k=10))

        expected = catalogue.nearest_to_query(query, 10)
        exact = (
            catalogue.item_vectors[expected]
            @ catalogue.query_vectors[catalogue.queries.index(query)]
        )
        assert answer.path is QueryPath.KNOWN
        assert answer.item_ids == ids(live, expected)
        assert answer.titles == [catalogue.titles[item] for item in expected]
        assert np.allclose(answer.scores, exact, atol=1e-5)


@pytest.mark.parametrize(
    "text", ["XBOX 360", "  xbox   360 ", "Xbox-360!", "xbox\t360", "Ｘｂｏｘ ３６０"]
)
def test_a_variant_in_case_or_punctuation_is_the_known_query(live: LiveView, text: str) -> None:
    """What normalises to a known query is that query."""
    query = parse_request(text, 5, SETTINGS)

    assert query.query == "xbox 360"
    assert retrieve(live, query).path is QueryPath.KNOWN


@pytest.mark.parametrize("text", ["xbox 36O", "no such thing", "🎮", "ڕۆژ", "a" * 100])
def test_an_unseen_query_is_answered_by_the_encoder(
    live: LiveView, catalogue: Catalogue, text: str
) -> None:
    """A query that the graph does not know gets the items nearest to the encoder's
    vector of it.
    """
    answer = retrieve(live, parse_request(text, 10, SETTINGS))

    assert answer.path is QueryPath.ENCODED
    assert answer.item_ids == ids(live, catalogue.nearest_to_text(text, 10))


def test_two_texts_with_one_key_are_told_apart(live: LiveView) -> None:
    """A query whose key is in the table under another text is not known."""
    generation = live.live.generation
    texts = list(generation.query_texts)
    row = texts.index("halo 3")
    texts[row] = "another text with the same key"
    other = dataclasses.replace(generation, query_texts=string_table(texts))
    collided = LiveView.bare(dataclasses.replace(live.live, generation=other))

    assert known_vector(live, "halo 3") is not None
    assert known_vector(collided, "halo 3") is None


def test_hidden_items_never_appear(live: LiveView, catalogue: Catalogue) -> None:
    """Asking for everything gives everything that may be shown, once each."""
    answer = retrieve(live, RetrievalQuery(query="xbox 360", k=1000))

    shown = set(range(300)) - catalogue.hidden
    assert len(answer.item_ids) == len(shown)
    assert set(answer.item_ids) == set(ids(live, sorted(shown)))


@pytest.mark.parametrize(("k", "expected"), [(0, 7), (1, 1), (50, 50)])
def test_k_within_its_limits(k: int, expected: int) -> None:
    """K is taken as asked, and 0 is the server's default."""
    assert parse_request("lamp", k, SETTINGS).k == expected


@pytest.mark.parametrize(
    ("text", "k", "words"),
    [
        ("", 5, "is empty"),
        (" \t\n ", 5, "is empty"),
        ("?!... --", 5, "no letter"),
        ("x" * 101, 5, "101 characters; at most 100"),
        ("x" * 100_000, 5, "100000 characters"),
        ("\ufdfa" * 6, 5, "108 characters once it is normalised; at most 100"),
        ("lamp", 51, "from 1 to 50"),
        ("lamp", -1, "from 1 to 50"),
    ],
)
def test_a_request_outside_the_limits_is_refused(text: str, k: int, words: str) -> None:
    """The message says which limit, and what it is."""
    with pytest.raises(QueryRefused, match=words):
        parse_request(text, k, SETTINGS)


def test_an_empty_catalogue_gives_an_empty_answer(artifacts: Artifacts) -> None:
    """A generation without items answers with nothing, not with an error."""
    path = artifacts.store.generation_path(artifacts.write(make_catalogue(0, ["lamp"])))
    live = LiveView.bare(LiveGeneration.load(path, SETTINGS))

    for query in ("lamp", "unseen"):
        assert retrieve(live, RetrievalQuery(query=query, k=3)).item_ids == []
