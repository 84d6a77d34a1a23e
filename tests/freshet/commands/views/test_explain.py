"""Tests of `freshet explain`: why an item answers a query, in words and as JSON."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from freshet.commands.views.explain import explain
from model.artifact.overlay.folder import OverlayFolder
from model.artifact.overlay.gone import GoneList
from model.artifact.overlay.publisher import OverlayPublisher
from model.artifact.overlay.segment import Claim, OverlayRows
from model.artifact.paths import PathGraph
from model.artifact.store import ArtifactStore, new_generation_id
from model.artifact.writer import GenerationWriter
from protos import manifest_v1_pb2 as manifest_pb
from protos.text import text_key
from server.settings import ServerSettings
from stream.files import replace_file
from testing.overlays import overlay_rows, random_units, with_evidence
from testing.retrieval_server import serving, wait_until
from testing.small_generations import DIM as SHOP_DIM
from testing.small_generations import Artifacts, make_catalogue
from tests.freshet.conftest import ROOT, Command

DIM = 2
ITEMS = {"A": "Red Mug", "B": "", "C": "Blue\x1b Mug"}
QUERIES = ("cup", "mug")


def in_order(texts: list[str]) -> list[str]:
    """Return texts as a generation numbers them."""
    return sorted(texts, key=text_key)


def path_graph() -> PathGraph:
    """Return a graph of three clicks and one hyperedge.

    "mug" clicked A in two sessions, "cup" A and C in one. "mug", A and B are in the
    hyperedge; A and B have another one that was not kept.
    """
    item, query = in_order(list(ITEMS)).index, in_order(list(QUERIES)).index
    clicks = sorted(
        [(query("mug"), item("A"), 2), (query("cup"), item("A"), 1), (query("cup"), item("C"), 1)]
    )
    back = sorted((item, query) for query, item, _ in clicks)
    nodes = sorted([query("mug"), 2 + item("A"), 2 + item("B")])
    degrees = np.zeros(5, dtype=np.int32)
    degrees[nodes] = [1 if node < len(QUERIES) else 2 for node in nodes]
    weights = np.zeros(5, dtype=np.float32)
    for clicked_for, clicked, sessions in clicks:
        weights[[clicked_for, 2 + clicked]] += np.log1p(sessions)
    return PathGraph(
        click_starts=starts([each for each, _, _ in clicks], 2),
        click_items=np.array([each for _, each, _ in clicks], dtype=np.int32),
        click_sessions=np.array([each for _, _, each in clicks], dtype=np.int32),
        item_starts=starts([each for each, _ in back], 3),
        item_queries=np.array([each for _, each in back], dtype=np.int32),
        node_weights=weights,
        node_starts=starts(nodes, 5),
        node_hyperedges=np.zeros(3, dtype=np.int32),
        node_degrees=degrees,
        hyperedge_sizes=np.array([3], dtype=np.int32),
    )


def starts(rows: list[int], num_rows: int) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """Return where each row starts."""
    return np.cumsum([0, *np.bincount(rows, minlength=num_rows)]).astype(np.int64)


def publish(root: Path, graph: PathGraph | None, channels: Sequence[str] = ()) -> None:
    """Write a generation of three items and two queries and make it current.

    Of each of more than three channels both listen to equal parts.
    """
    generation_id = new_generation_id(1_790_000_000_000)
    folder = ArtifactStore(root).generation_path(generation_id)
    folder.mkdir(parents=True)
    writer = GenerationWriter(folder)
    item_ids, texts = in_order(list(ITEMS)), in_order(list(QUERIES))
    writer.add_strings("item_ids", item_ids)
    writer.add_strings("item_titles", [ITEMS[each] for each in item_ids])
    writer.add_strings("query_texts", texts)
    unit = np.array([0.6, 0.8], dtype=np.float32)
    arrays = {
        "item_vectors": np.tile(unit, (3, 1)),
        "item_shown": np.array([each != "B" for each in item_ids]),
        "index_items": np.flatnonzero([each != "B" for each in item_ids]).astype(np.int64),
        "query_keys": np.array([text_key(each) for each in texts], dtype=np.uint64),
        "query_vectors": np.tile(unit[::-1], (2, 1)),
        "channel_attention_items": np.tile(np.array([0.5, 0.25, 0.25], dtype=np.float32), (3, 1)),
        "channel_attention_queries": np.tile(
            np.array([0.125, 0.5, 0.375], dtype=np.float32), (2, 1)
        ),
        "encoder.bag": np.ones((16, DIM), dtype=np.float32),
    }
    for tower in ("query", "item"):
        arrays[f"encoder.{tower}.hidden_weight"] = np.zeros((1, DIM), dtype=np.float32)
        arrays[f"encoder.{tower}.hidden_bias"] = np.zeros(1, dtype=np.float32)
        arrays[f"encoder.{tower}.out_weight"] = np.zeros((DIM, 1), dtype=np.float32)
        arrays[f"encoder.{tower}.out_bias"] = np.zeros(DIM, dtype=np.float32)
    for name, array in arrays.items():
        writer.add_array(name, array)
    if channels:
        for name, count in (("items", 3), ("queries", 2)):
            equal = np.full((count, len(channels)), 1 / len(channels), dtype=np.float32)
            writer.add_array(f"channel_attention_{name}", equal)
    if graph is not None:
        writer.add_paths(graph)
    writer.seal(
        manifest_pb.Generation(
            generation_id=generation_id,
            dim=DIM,
            num_items=3,
            num_queries=2,
            num_indexed=2,
            channels=channels,
        )
    )
    replace_file(root / "CURRENT", f"{generation_id}\n".encode())


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    """Return an artifacts folder with a generation that has paths."""
    publish(tmp_path, path_graph())
    return tmp_path


def test_paths_are_told_in_words(artifacts: Path, run: Command) -> None:
    """The score, what query and item listen to, and how they hang together."""
    clicked = run("explain", "--artifacts", artifacts, " MUG ", "A").stdout
    seen = run("explain", "--artifacts", artifacts, "mug", "B").stdout
    through = run("explain", "--artifacts", artifacts, "mug", "C").stdout

    assert "'mug' finds 'Red Mug' (A)\nscore 0.960" in clicked
    assert "0.125  0.500      0.375" in clicked
    assert "2 sessions that searched 'mug' clicked it" in clicked
    assert "0.33      it was seen in 1 session that searched 'mug'" in seen
    assert "clicked for it: 'Red Mug' (A), seen together in at least 1 session" in seen
    assert "B, which is unavailable and not shown" in seen
    assert "'cup' leads to it, too, and both queries lead to 'Red Mug' (A)" in through
    assert "\x1b" not in through


def test_the_same_as_json(artifacts: Path, run: Command) -> None:
    """For scripts: kinds, strengths, and what the path goes through."""
    shown = json.loads(run("explain", "--artifacts", artifacts, "mug", "B", "--json").stdout)

    assert shown["query_known"]
    assert shown["score"] == pytest.approx(0.96)
    assert shown["query_attention"] == {"text": 0.125, "bipartite": 0.5, "hypergraph": 0.375}
    assert not shown["shown"]
    own, through = shown["paths"]
    assert own == {
        "kind": "query-session",
        "strength": pytest.approx(1 / 3),
        "sessions": 1,
        "sessions_complete": True,
        "hyperedges": [0],
    }
    assert (through["kind"], through["via_item"], through["sessions_complete"]) == (
        "item-session",
        "A",
        False,
    )


def publish_overlay(root: Path, rows: OverlayRows, dim: int = DIM) -> None:
    """Write an overlay of the current generation."""
    generation_id = ArtifactStore(root).current_id()
    assert generation_id is not None
    folder = OverlayFolder.of(root)
    OverlayPublisher(folder, generation_id, dim, GoneList(folder.gone_path)).publish(rows, Claim())


def test_what_the_overlay_has_is_explained_by_it(artifacts: Path, run: Command) -> None:
    """The score is that of the answer, and it is said whose vectors are newer; a
    deleted item is named as such.
    """
    east, north = np.eye(2, dtype=np.float32)
    rows = overlay_rows(
        DIM,
        items={"A": east, "new": north},
        queries={"teapot": north, "mug": east},
        gone_items=["C"],
        gone_queries=["cup"],
    )
    publish_overlay(artifacts, rows)

    def shown(query: str, item: str) -> dict[str, Any]:
        told = run("explain", "--artifacts", artifacts, query, item, "--json")
        found: dict[str, Any] = json.loads(told.stdout)
        return found

    moved = run("explain", "--artifacts", artifacts, "mug", "A").stdout
    assert "score 1.000" in moved
    assert "vector of the query and the item from overlay segment 1" in moved
    assert "2 sessions that searched 'mug' clicked it" in moved
    new = run("explain", "--artifacts", artifacts, "teapot", "new").stdout
    assert "'teapot' finds 'new new' (new)\nscore 1.000" in new
    assert "newer than the generation" in new
    assert "attention of" not in new
    assert (
        "deleted since and is in no answer"
        in run("explain", "--artifacts", artifacts, "mug", "C").stdout
    )
    assert (shown("mug", "C")["gone"], shown("mug", "C")["shown"]) == (True, False)
    assert not shown("cup", "A")["query_known"]
    assert shown("teapot", "new")["item_attention"] is None
    only_query = shown("mug", "B")
    assert (only_query["query_from_overlay"], only_query["item_from_overlay"]) == (True, False)
    assert only_query["overlay"] == 1


def test_what_was_clicked_since_the_generation_is_named(artifacts: Path, run: Command) -> None:
    """The lane has moved the answer by it, and no path has it yet."""
    east, north = np.eye(2, dtype=np.float32)
    rows = overlay_rows(
        DIM,
        items={"A": east, "B": north},
        queries={"mug": east, "cup": north},
        gone_items=["C"],
    )
    clicks = {"mug": {"B": 2, "C": 2, "A": 1}}
    publish_overlay(artifacts, with_evidence(rows, clicks, {"A": 1_200}))

    told = run("explain", "--artifacts", artifacts, "mug", "A").stdout
    shown = json.loads(run("explain", "--artifacts", artifacts, "mug", "A", "--json").stdout)

    assert "since the generation, in the score by the overlay and in no path below:" in told
    assert "1 session that searched 'mug' clicked it" in told
    assert "others that were clicked for it, by sessions: B (2)\n" in told
    assert "1,200 sessions had it beside others" in told
    assert (shown["newer_clicks"], shown["item_newer_sessions"]) == ({"B": 2, "A": 1}, 1_200)


def test_a_server_tells_the_same_as_its_folder(tmp_path: Path, run: Command) -> None:
    """Whoever is on call asks the server, and needs no folder: the same object but for
    numbers of hyperedges, and the same words but for titles on the way.
    """
    root = tmp_path / "artifacts"
    artifacts, catalogue = Artifacts(root), make_catalogue(20, ["cup", "mug", "plate"])
    catalogue.clicks = [(1, 1, 2), (1, 2, 1), (0, 1, 1), (0, 2, 3)]
    catalogue.sessions = [([1], [1]), ([], [1, 2])]
    generation_id = artifacts.publish(catalogue)
    first, other, gone = (f"{generation_id}/{row}" for row in (1, 7, 3))
    rows = overlay_rows(
        SHOP_DIM,
        queries={"plate": random_units(np.random.default_rng(5), 1, SHOP_DIM)[0]},
        gone_items=[gone],
    )
    publish_overlay(root, with_evidence(rows, {"plate": {other: 3, gone: 1}}), SHOP_DIM)
    asked = [("mug", first), ("plate", other), ("cup", first), ("teapot", first)]
    asked += [("mug", gone), ("plate", gone)]
    with serving(root) as serve:
        server = serve()
        wait_until(
            lambda: (server.metric("freshet_server_overlay_sequence") or 0) > 0, "a segment is live"
        )
        by_server = [explained(run, "--target", server.address, *each) for each in asked]
        words = run("explain", "--target", server.address, "plate", other).stdout
        deleted = run("explain", "--target", server.address, "plate", gone).stdout
    by_folder = [explained(run, "--artifacts", root, *each) for each in asked]

    assert by_server == by_folder
    assert words == run("explain", "--artifacts", root, "plate", other).stdout
    assert "3 sessions that searched 'plate' clicked it" in words
    assert "first clicked since the generation: the next one has the paths" in words
    assert "1 session that searched 'plate' clicked it" in deleted
    assert "first clicked since the generation: it is deleted" in deleted


def explained(run: Command, *arguments: object) -> dict[str, Any]:
    """Return an explanation as JSON, rounded, without the numbers of hyperedges."""
    outcome = run("explain", *arguments, "--json")
    assert outcome.returncode == 0, outcome.stderr
    shown: dict[str, Any] = json.loads(
        outcome.stdout, parse_float=lambda text: round(float(text), 5)
    )
    for path in shown["paths"]:
        path.pop("hyperedges", None)
    return shown


def test_either_a_server_or_a_folder(run: Command) -> None:
    """It says what to give."""
    outcome = run("explain", "mug", "A", "--target", "127.0.0.1:1", "--artifacts", "x")

    assert outcome.returncode == 2
    assert "give --target HOST:PORT to ask a server, or --artifacts DIR" in outcome.stderr


def test_the_server_is_where_one_listens_by_default() -> None:
    """As for `freshet query`."""
    context = explain.make_context("explain", ["mug", "A"])

    assert context.params["target"] == ServerSettings.listen


def test_no_server_at_the_address_is_one_clear_line(run: Command) -> None:
    """With the address."""
    outcome = run("explain", "mug", "A", "--target", "127.0.0.1:1")

    assert outcome.returncode == 1
    assert "127.0.0.1:1" in outcome.stderr


def test_no_more_paths_than_asked_for(artifacts: Path, run: Command) -> None:
    """The strongest."""
    shown = json.loads(
        run("explain", "--artifacts", artifacts, "mug", "B", "--limit", 1, "--json").stdout
    )

    assert [path["kind"] for path in shown["paths"]] == ["query-session"]


def test_a_query_never_seen_is_answered_by_its_text(artifacts: Path, run: Command) -> None:
    """There is a score, and nothing but text behind it."""
    told = run("explain", "--artifacts", artifacts, "teapot", "A")
    shown = json.loads(run("explain", "--artifacts", artifacts, "teapot", "A", "--json").stdout)

    assert "no event had this query: its text alone answers" in told.stdout
    assert shown["query_attention"] == {"text": 1.0, "bipartite": 0.0, "hypergraph": 0.0}
    assert shown["score"] == pytest.approx(1.4 / np.sqrt(2))
    assert shown["paths"] == []


def test_a_generation_from_before_says_that_it_has_no_paths(tmp_path: Path, run: Command) -> None:
    """Score and attention are there."""
    publish(tmp_path, None)

    told = run("explain", "--artifacts", tmp_path, "mug", "A")
    shown = json.loads(run("explain", "--artifacts", tmp_path, "mug", "A", "--json").stdout)

    assert "an earlier version wrote it" in told.stdout
    assert "score 0.960" in told.stdout
    assert shown["paths"] is None


@pytest.mark.parametrize(
    ("query", "item_id", "message"),
    [("mug", "Z", "has no item 'Z'"), (" ", "A", "no letter, digit or symbol")],
    ids=["item", "query"],
)
def test_what_cannot_be_explained_is_one_clear_line(
    artifacts: Path, run: Command, query: str, item_id: str, message: str
) -> None:
    """With exit code 1."""
    outcome = run("explain", "--artifacts", artifacts, query, item_id)

    assert outcome.returncode == 1
    assert outcome.stdout == ""
    assert outcome.stderr.startswith("freshet: error: ")
    assert message in outcome.stderr


def test_an_empty_folder_says_what_to_do(tmp_path: Path, run: Command) -> None:
    """Train first."""
    outcome = run("explain", "--artifacts", tmp_path, "mug", "A")

    assert outcome.returncode == 1
    assert "freshet train" in outcome.stderr


def test_it_needs_no_torch(artifacts: Path) -> None:
    """Whoever looks waits for none."""
    script = (
        "import sys; from freshet import process; from freshet.commands.cli import cli; "
        f"code = process.run(cli, ['explain', '--artifacts', {str(artifacts)!r}, 'mug', 'A']); "
        "sys.exit(code or 3 * ('torch' in sys.modules))"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert outcome.returncode == 0, outcome.stderr


def test_a_generation_of_other_channels_is_shown_with_its_own(tmp_path: Path, run: Command) -> None:
    """Another version made it; what this one knows of its channels it says."""
    publish(tmp_path, path_graph(), channels=("text", "bipartite", "voice", "images"))

    told = run("explain", "--artifacts", tmp_path, "mug", "A").stdout
    shown = json.loads(run("explain", "--artifacts", tmp_path, "mug", "A", "--json").stdout)
    unknown = json.loads(run("explain", "--artifacts", tmp_path, "new", "A", "--json").stdout)

    equal = {"text": 0.25, "bipartite": 0.25, "voice": 0.25, "images": 0.25}
    assert shown["query_attention"] == shown["item_attention"] == equal
    assert unknown["query_attention"] == {name: float(name == "text") for name in equal}
    assert "voice" in told
    assert re.search(r"bipartite +queries and items that clicks join to it", told)
    assert "hypergraph" not in told
