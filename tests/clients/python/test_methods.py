"""The client's calls beside `retrieve`, in our own types."""

import pytest

from freshet_client import (
    Evidence,
    Filter,
    ItemState,
    ItemUnknown,
    NotFreshEnough,
    PathKind,
    Query,
    QueryPath,
    QueryRefused,
    RetrieveResult,
    VectorSource,
)
from testing.retrieval_server import Serve
from testing.small_generations import Artifacts, make_catalogue


def test_a_batch_has_an_outcome_a_query(artifacts: Artifacts, serve: Serve) -> None:
    """Answers as of single calls, errors as single calls would have raised them."""
    artifacts.publish(make_catalogue(30, ["desk lamp", "bulb"]))
    queries: list[str | Query] = [
        "Bulb!",
        Query(query="desk lamp", k=2),
        "",
        Query(query="bulb", max_age_seconds=1),
    ]

    with serve().client() as client:
        batch = client.retrieve_batch(queries, 4)
        alone = client.retrieve("bulb", 4), client.retrieve("desk lamp", 2)

    assert batch.answers[:2] == alone
    assert isinstance(batch.answers[2], QueryRefused)
    assert batch.answers[2].code == "INVALID_ARGUMENT"
    assert isinstance(batch.answers[3], NotFreshEnough)
    assert batch.receipt == alone[0].receipt
    answers = iter(batch)
    assert isinstance(next(answers), RetrieveResult)
    assert next(answers).path is QueryPath.KNOWN
    with pytest.raises(QueryRefused, match="is empty"):
        next(answers)


def test_a_batch_that_is_refused_raises(artifacts: Artifacts, serve: Serve) -> None:
    """An empty one, one too large, and one with a text that is no text."""
    artifacts.publish(make_catalogue(30))

    with serve(max_batch=2).client() as client:
        refused: list[list[str | Query]] = [[], ["lamp"] * 3, ["\ud800"]]
        for queries in refused:
            with pytest.raises(QueryRefused):
                client.retrieve_batch(queries)


def test_similar_items_come_in_our_own_types(artifacts: Artifacts, serve: Serve) -> None:
    """Hits without the item itself; one that is not there has an error of its own."""
    catalogue = make_catalogue(30)
    generation_id = artifacts.publish(catalogue)

    with serve().client() as client:
        answer = client.similar_items(f"{generation_id}/4", 3)
        excluded = Filter(excluded_item_ids=(answer.hits[0].item_id,))
        others = client.similar_items(f"{generation_id}/4", 2, filter_by=excluded)
        with pytest.raises(ItemUnknown, match="nobody's"):
            client.similar_items("nobody's")
        with pytest.raises(NotFreshEnough):
            client.similar_items(f"{generation_id}/4", max_age_seconds=1)
        with pytest.raises(QueryRefused):
            client.similar_items("\ud800")

    expected = catalogue.exact(catalogue.item_vectors[4], 4)[1:]
    assert [hit.item_id for hit in answer.hits] == [f"{generation_id}/{n}" for n in expected]
    assert [hit.item_id for hit in others.hits] == [hit.item_id for hit in answer.hits[1:]]
    assert (answer.filter, others.filter is None) == (None, False)
    assert answer.item_source is VectorSource.GENERATION
    assert answer.receipt.generation == generation_id


def test_an_explanation_comes_in_our_own_types(artifacts: Artifacts, serve: Serve) -> None:
    """Score, channels and every kind of path."""
    catalogue = make_catalogue(20, ["cup", "mug"])
    catalogue.clicks = [(1, 1, 2), (1, 2, 1), (0, 1, 1), (0, 2, 3)]
    catalogue.sessions = [([1], [1]), ([], [1, 2])]
    generation_id = artifacts.publish(catalogue)

    with serve().client() as client:
        answer = client.explain("Mug", f"{generation_id}/1")
        (strongest,) = client.explain("Mug", f"{generation_id}/1", max_paths=1).paths
        unseen = client.explain("never seen", f"{generation_id}/1")
        with pytest.raises(ItemUnknown):
            client.explain("mug", "nobody's")

    assert (answer.query_path, answer.item_state) == (QueryPath.KNOWN, ItemState.SHOWN)
    assert answer.evidence is Evidence.PATHS
    assert [each.channel for each in answer.channels] == ["text", "bipartite", "hypergraph"]
    assert strongest == answer.paths[0]
    found = {(path.kind, path.via_item_id): path for path in answer.paths}
    assert found[PathKind.CLICK, ""].num_sessions == 2
    assert found[PathKind.SESSION, ""].num_sessions == 1
    assert found[PathKind.SESSION, f"{generation_id}/2"].num_sessions == 1
    assert found[PathKind.OTHER_QUERY, f"{generation_id}/2"].other_query == "cup"
    assert (unseen.evidence, unseen.paths) == (Evidence.QUERY_UNKNOWN, ())
