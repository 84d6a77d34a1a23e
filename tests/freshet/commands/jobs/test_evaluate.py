"""`freshet evaluate`, as a user runs it: on a small log of files."""

import json
import signal
from dataclasses import asdict
from pathlib import Path

import pytest

from model.training.optimizer import Adam
from testing.small_shop import START_MS, shop_events, shop_items, wide_events
from tests.freshet.conftest import Command


@pytest.fixture
def log(tmp_path: Path) -> list[str]:
    """Return the arguments that name the shop's events, over six
    days, and its items.
    """
    events, items = tmp_path / "events.jsonl", tmp_path / "items.jsonl"
    rows = (
        {**asdict(event), "type": "search_click", "action": None}
        | {"ts_ms": START_MS + 30 * (event.ts_ms - START_MS)}
        for event in shop_events(300)
    )
    events.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    titles = ({"item_id": item.item_id, "title": item.title} for item in shop_items())
    items.write_text("".join(json.dumps(row) + "\n" for row in titles), encoding="utf-8")
    return ["--events", str(events), "--items", str(items)]


def test_scores_say_what_was_chosen(run: Command, log: list[str]) -> None:
    """A row a segment, seed and mean.

    The settings are on the seed's row over all pairs, and in the table.
    """
    found = run("evaluate", *log, "--models", "bm25", "--json")
    rows = [json.loads(line) for line in found.stdout.splitlines()]

    assert found.returncode == 0, found.stderr
    assert [(row["segment"], row["seed"]) for row in rows if "chosen" in row] == [("all", 0)]
    best = next(row["chosen"] for row in rows if "chosen" in row)
    assert f"k1 {best['k1']:g}, b {best['b']:g}" in run("evaluate", *log, "--models", "bm25").stdout


def test_stderr_says_how_far_it_is_unless_it_is_to_be_quiet(run: Command, log: list[str]) -> None:
    """Before a fit begins; what is printed of it goes to the other stream."""
    told = run("evaluate", *log, "--models", "bm25", "--json")
    quiet = run("evaluate", *log, "--models", "bm25", "--json", "--quiet")

    assert told.stderr.startswith("fit 1 of 1: bm25; ")
    assert quiet.stderr == ""
    assert all(line.startswith("{") for line in told.stdout.splitlines())


def test_what_sessions_bring_is_a_row_of_its_own(run: Command, log: list[str]) -> None:
    """Without and with the session, by the weights that the past chose."""
    options = ("--models", "text", "--seeds", 1, "--budget", "2s")
    found = run("evaluate", *log, *options, "--json")

    assert found.returncode == 0, found.stderr
    rows = [json.loads(line) for line in found.stdout.splitlines()]
    gains = [row for row in rows if "context_clicks" in row]
    assert [(row["model"], row["seed"]) for row in gains] == [("text", 0), ("text", "mean")]
    assert gains[0]["context_clicks"] > 0
    if gains[0]["context_weight"] == gains[0]["context_query_weight"] == 0:
        assert gains[0]["mrr_with"] == gains[0]["mrr_without"]
    assert "in sessions" in run("evaluate", *log, *options).stdout


def test_the_paper_is_judged_beside_others(run: Command, log: list[str]) -> None:
    """With `--paper` it is added to the models that are named."""
    found = run(
        "evaluate",
        *log,
        "--models",
        "popularity",
        "--paper",
        "--seeds",
        1,
        "--budget",
        "1s",
        "--json",
    )

    assert found.returncode == 0, found.stderr
    assert {json.loads(line)["model"] for line in found.stdout.splitlines()} == {
        "popularity",
        "paper",
    }


def test_the_paper_has_a_protocol_of_its_own(run: Command, tmp_path: Path, log: list[str]) -> None:
    """A row a kind of messages, group, seed and mean, and the gains, as JSON; the same
    figures in the tables; a log too small is refused in one line.
    """
    wide = tmp_path / "wide.jsonl"
    clicks = (
        {**asdict(event), "type": "search_click", "action": None} for event in wide_events(400)
    )
    wide.write_text("".join(json.dumps(row) + "\n" for row in clicks), encoding="utf-8")
    paper = ["--protocol", "paper", "--seeds", 1, "--budget", "0s", "--models"]
    command = ["evaluate", "--events", wide, *paper, "paper-hypergraph,paper"]
    found = run(*command, "--json")

    assert found.returncode == 0, found.stderr
    rows = [json.loads(line) for line in found.stdout.splitlines()]
    scores, gains = (
        [row for row in rows if ("against" in row) == has_other] for has_other in (False, True)
    )
    assert {(row["model"], row["messages"], row["group"], row["seed"]) for row in scores} == {
        (model, messages, group, seed)
        for model in ("paper-hypergraph", "paper")
        for messages in ("leak", "clean", "strict")
        for group in ("all", "head", "tail1", "tail2", "isolated")
        for seed in (0, "mean")
    }
    assert {(row["model"], row["against"]) for row in gains} == {("paper", "paper-hypergraph")}
    tables = run(*command).stdout
    assert f"{scores[-1]['mrr']:.3f}" in tables
    assert f"{gains[-1]['mrr_relative']:+.1%}" in tables
    assert run("evaluate", *log, *paper, "nonsense").returncode == 1
    refused = run("evaluate", *log, *paper, "paper")
    assert refused.returncode == 1
    assert "50 wrong items" in refused.stderr


def test_a_replay_compares_both_systems(run: Command, log: list[str], tmp_path: Path) -> None:
    """A row a segment and system beside the nightly one, and one a system, as JSON; the
    same figures in the tables.
    """
    small = tmp_path / "small.toml"
    small.write_text("[model]\ndim = 8\nmax_passes = 2\nnum_threads = 1\n", encoding="utf-8")
    replay = ["evaluate", *log, "--streamed", "--refresh-every", 40, "--days", 1, "--config", small]
    found = run(*replay, "--json")
    rows = [json.loads(line) for line in found.stdout.splitlines()]
    all_clicks, systems = rows[0], [row for row in rows if "system" in row]
    (fresh,) = (row for row in rows if row.get("segment") == "all" and "mrr_fresh" in row)

    assert found.returncode == 0, found.stderr
    assert all_clicks["segment"] == "all"
    assert all_clicks["recall_10_relative"] == pytest.approx(
        all_clicks["recall_10_streamed"] / all_clicks["recall_10_nightly"] - 1, abs=1e-3
    )
    assert [row["system"] for row in systems] == ["nightly", "streamed", "fresh"]
    assert systems[0]["trainings"] == 1
    gains = [row for row in rows if "context_clicks" in row]
    assert [row["model"] for row in gains] == ["nightly", "streamed"]
    table = run(*replay).stdout
    assert f"{all_clicks['mrr_streamed']:.3f}" in table
    assert f"{fresh['mrr_fresh']:.3f}" in table


def test_a_share_of_the_past_can_be_views(run: Command, log: list[str]) -> None:
    """The same pairs, less to learn from; the report says the share."""
    options = ("--models", "co-occurrence,popularity")
    plain, hidden = (
        [
            json.loads(line)
            for line in run("evaluate", *log, *options, *more, "--json").stdout.splitlines()
        ]
        for more in ([], ["--views-share", "0.8", "--views-seed", "3"])
    )

    assert {(row["views_share"], row["views_seed"]) for row in hidden} == {(0.8, 3)}
    assert not any("views_share" in row for row in plain)
    first, other = (
        next(row for row in rows if row["segment"] == "all") for rows in (plain, hidden)
    )
    assert first["edges"] == other["edges"]
    assert other["mrr"] < first["mrr"]
    told = run("evaluate", *log, "--models", "popularity", "--views-share", "0.8").stdout
    assert told.startswith("80% of the past's search clicks are views here (seed 0).\n")


def test_titles_and_losses_are_told(run: Command, log: list[str], tmp_path: Path) -> None:
    """Items of further catalogue files, asked for by their titles.

    What the full model loses to the others is the last line.
    """
    small = tmp_path / "small.toml"
    small.write_text("[model]\ndim = 8\nmax_passes = 1\nnum_threads = 1\n", encoding="utf-8")
    wider = tmp_path / "wider.jsonl"
    titles = ({"item_id": f"w{number}", "title": f"Wider {number}"} for number in range(20))
    wider.write_text("".join(json.dumps(row) + "\n" for row in titles), encoding="utf-8")
    command = ["evaluate", *log, "--items", wider, "--models", "bm25,full", "--seeds", 1]
    found = run(*command, "--config", small, "--json")
    rows = [json.loads(line) for line in found.stdout.splitlines()]

    assert found.returncode == 0, found.stderr
    bm25 = [row for row in rows if row.get("titles") and row["model"] == "bm25"]
    assert [(row["segment"], row["seed"]) for row in bm25] == [
        (segment, seed) for segment in ("own_title", "own_title_no_session") for seed in (0, "mean")
    ]
    assert {(row["titles"], row["found_10"], row["median_rank"]) for row in bm25} == {
        (20, 1.0, 1.0)
    }
    assert {row["segment"] for row in rows if "against" in row} >= {"all", "own_title"}
    lines = run(*command, "--config", small).stdout.splitlines()
    assert any(line.startswith("bm25 ") and "own_title_no_session  20 " in line for line in lines)
    assert lines[-1].startswith("lost beyond noise: ")


@pytest.mark.parametrize(
    "more",
    [
        ["--streamed", "--models", "full"],
        ["--streamed", "--views-share", "0.5"],
        ["--days", "3"],
        ["--views-seed", "3"],
        ["--streamed", "--protocol", "paper"],
        ["--views-share", "0.5", "--protocol", "paper"],
    ],
)
def test_options_of_the_other_evaluation_are_refused(
    run: Command, log: list[str], more: list[str]
) -> None:
    """One line that names them."""
    found = run("evaluate", *log, *more)

    assert found.returncode == 2
    assert more[-2] in found.stderr


def test_a_catalogue_given_as_events_is_told_by_the_options_that_there_are(
    run: Command, tmp_path: Path
) -> None:
    """The advice can be followed: `freshet stream` calls them otherwise."""
    items = tmp_path / "items.jsonl"
    items.write_text('{"item_id": "i", "title": "Lamp"}\n')

    outcome = run("evaluate", "--events", items)

    assert outcome.returncode == 1
    assert "give it with --items" in outcome.stderr


def test_an_interrupt_ends_a_fit(
    run: Command, log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the middle of a training.

    One line, the exit code of an interrupt, no figures.
    """
    step = Adam.step
    steps: list[Adam] = []

    def interrupted_step(self: Adam) -> None:
        if not steps:
            signal.raise_signal(signal.SIGINT)
        steps.append(self)
        step(self)

    monkeypatch.setattr(Adam, "step", interrupted_step)
    found = run("evaluate", *log, "--models", "full", "--seeds", 1, "--quiet")

    assert found.returncode == 130
    assert found.stderr == "freshet: error: stopped before the evaluation was done\n"
    assert not found.stdout
