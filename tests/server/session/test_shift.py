"""Where a session draws a query."""

from dataclasses import replace

import numpy as np
import pytest

from model.artifact.overlay.segment import Claim, OverlayRows
from model.context import NO_CONTEXT, ContextWeights, shifted
from server.live import LiveGeneration
from server.overlay.held import IndexPlaces, hold
from server.overlay.view import LiveView
from server.retrieve import RetrievalQuery, RetrievalResult, retrieve
from server.session.context import NO_SESSION, SessionContext
from server.session.shift import MemberOutcome, shift
from server.settings import ServerSettings
from testing.overlays import overlay_rows, random_units
from testing.small_generations import DIM, Artifacts, Catalogue, make_catalogue

QUERIES = ["xbox 360", "halo 3", "lamp"]
WEIGHTS = ContextWeights(items=0.7, queries=0.3)


@pytest.fixture
def catalogue() -> Catalogue:
    """Sixty items; sessions count."""
    made = make_catalogue(60, QUERIES)
    made.context_weights = WEIGHTS
    return made


@pytest.fixture
def view(artifacts: Artifacts, catalogue: Catalogue) -> LiveView:
    """The catalogue, live."""
    return live_view(artifacts, catalogue)


def live_view(artifacts: Artifacts, catalogue: Catalogue) -> LiveView:
    """Return a catalogue as a server has it."""
    path = artifacts.store.generation_path(artifacts.write(catalogue))
    return LiveView.bare(LiveGeneration.load(path, ServerSettings()))


def with_overlay(view: LiveView, rows: OverlayRows) -> LiveView:
    """Return a view with these rows in its overlay."""
    places = IndexPlaces(view.live)
    overlay = hold(view.live, rows, Claim(), sequence=1, writer="w", gone={}, places=places)
    return replace(view, overlay=overlay)


def items_of(view: LiveView, *items: int) -> tuple[str, ...]:
    """Return external ids."""
    return tuple(f"{view.generation_id}/{item}" for item in items)


def ask(view: LiveView, context: SessionContext) -> RetrievalResult:
    """Return the answer to a known query in a session."""
    return retrieve(view, RetrievalQuery(query="lamp", k=10, context=context))


def test_the_answer_is_that_of_the_formula(view: LiveView, catalogue: Catalogue) -> None:
    """Items and queries by the weights of the live generation."""
    context = SessionContext(item_ids=items_of(view, 3, 8), queries=("halo 3",))

    answer = ask(view, context)

    vector = shifted(
        catalogue.query_vectors[QUERIES.index("lamp")],
        catalogue.item_vectors[[3, 8]],
        catalogue.query_vectors[[QUERIES.index("halo 3")]],
        WEIGHTS,
    )
    expected = catalogue.exact(vector, 10)
    assert answer.item_ids == list(items_of(view, *expected))
    np.testing.assert_allclose(answer.scores, catalogue.item_vectors[expected] @ vector, atol=1e-6)
    assert answer.context[MemberOutcome.USED] == 3


def test_a_session_that_nobody_knows_changes_nothing(view: LiveView) -> None:
    """To the last bit."""
    context = SessionContext(item_ids=("nobody's", "no more"), queries=("unheard of",))

    answer, alone = ask(view, context), ask(view, NO_SESSION)

    assert answer.item_ids == alone.item_ids
    np.testing.assert_array_equal(answer.scores, alone.scores)
    assert answer.context[MemberOutcome.UNKNOWN] == 3
    assert not alone.context


def test_a_generation_without_weight_is_not_shifted(
    artifacts: Artifacts, catalogue: Catalogue
) -> None:
    """As any is whose manifest does not say: what is sent is counted, not looked up."""
    catalogue.context_weights = NO_CONTEXT
    view = live_view(artifacts, catalogue)
    context = SessionContext(item_ids=items_of(view, 3, 8), queries=("halo 3",), older=4)

    answer = ask(view, context)

    np.testing.assert_array_equal(answer.scores, ask(view, NO_SESSION).scores)
    assert answer.context[MemberOutcome.USED] == 0
    assert answer.context[MemberOutcome.WITHOUT_WEIGHT] == 3
    assert answer.context[MemberOutcome.OLDER] == 4


def test_the_overlay_has_the_newest_vectors(view: LiveView, catalogue: Catalogue) -> None:
    """Of an item that moved or is new, and of a query."""
    vectors = random_units(np.random.default_rng(5), 3, DIM)
    moved, new = items_of(view, 3)[0], "new"
    rows = overlay_rows(
        DIM, items={moved: vectors[0], new: vectors[1]}, queries={"halo 3": vectors[2]}
    )
    context = SessionContext(item_ids=(moved, new), queries=("halo 3",))
    own = catalogue.query_vectors[QUERIES.index("lamp")]

    found = shift(with_overlay(view, rows), own, context)

    np.testing.assert_array_equal(found.vector, shifted(own, vectors[:2], vectors[2:], WEIGHTS))


def test_what_is_gone_is_no_context(view: LiveView, catalogue: Catalogue) -> None:
    """Neither an item nor a query that was erased, known as they were."""
    rows = overlay_rows(DIM, gone_items=items_of(view, 3), gone_queries=["halo 3"])
    own = catalogue.query_vectors[QUERIES.index("lamp")]
    context = SessionContext(item_ids=items_of(view, 3), queries=("halo 3",))

    assert shift(view, own, context).outcomes[MemberOutcome.USED] == 2
    found = shift(with_overlay(view, rows), own, context)
    np.testing.assert_array_equal(found.vector, own)
    assert found.outcomes[MemberOutcome.UNKNOWN] == 2
