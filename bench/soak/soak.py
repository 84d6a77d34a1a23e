"""Workers and broker killed and paused under load, then the graph compared: ``python -m
bench soak``.

Everything random comes from ``--seed``: what happens in the shop, how it is delivered,
and when which process is hit. The exit code is 1 when the graph, the catalogue or the
quarantine is not what it should be.
"""

import argparse
import signal
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Figure, print_header, write_json
from bench.folders import work_folder
from bench.soak.comparison import compare_graph, compare_quarantine
from bench.soak.timeline import catch_up, live_through
from bench.soak.trial import NUM_PARTITIONS, Trial
from deploy.kafka.broker import LocalBroker
from deploy.kafka.secured import secured_listeners
from deploy.kafka.topics import create_topics


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of a soak.

    Attributes:
        figures: what was printed.
        problems: what is not as it should be, in a sentence each.
    """

    figures: Sequence[Figure]
    problems: Sequence[str]


def run(argv: Sequence[str]) -> int:
    """Soak, print a table, then one JSON line a figure; return the exit code."""
    options = _parse(argv)
    outcome = soak(options)
    conditions = {
        name: getattr(options, name)
        for name in ("seed", "kills", "workers", "events", "every", "secure", "containers")
    }
    write_json("soak", outcome.figures, options.json, conditions)
    for problem in outcome.problems:
        print(f"DIFFERENT: {problem}")
    return 1 if outcome.problems else 0


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="SIGKILLs of workers")
    parser.add_argument("--workers", type=int, default=3, help="processes on the one store")
    parser.add_argument(
        "--events", type=int, default=1_000_000, help="distinct events published meanwhile"
    )
    parser.add_argument(
        "--every", type=float, default=5.0, help="mean seconds from one fault to the next"
    )
    parser.add_argument(
        "--session-timeout", type=float, default=3.0, help="seconds, of the consumer group"
    )
    parser.add_argument(
        "--catch-up", type=float, default=300.0, help="most seconds to catch up in at the end"
    )
    parser.add_argument("--seed", type=int, default=1, help="of everything random")
    parser.add_argument(
        "--secure", action="store_true", help="workers reach the broker over TLS, by SCRAM"
    )
    parser.add_argument(
        "--containers",
        action="store_true",
        help="workers are containers of the stream's image (python -m deploy.images stream)",
    )
    parser.add_argument(
        "--folder", type=Path, help="keep store, logs and events in this new folder"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the JSON lines to a file, too"
    )
    return parser.parse_args(argv)


def soak(options: argparse.Namespace) -> Outcome:
    """Inject the faults, let the workers catch up, and compare."""
    with work_folder(options.folder, "soak") as folder, _broker(folder, options) as reached:
        broker, address, access = reached
        create_topics(broker.bootstrap, partitions=NUM_PARTITIONS)
        trial = Trial(broker, address, access, folder, options)
        print_header()
        try:
            live_through(trial)
            catch_up(trial)
            trial.pool.stop_all()
        finally:
            trial.pool.end()
        _report_faults(trial)
        problems = [*compare_graph(trial), *compare_quarantine(trial)]
        return Outcome(figures=trial.figures, problems=problems)


@contextmanager
def _broker(
    folder: Path, options: argparse.Namespace
) -> Iterator[tuple[LocalBroker, str, Mapping[str, str]]]:
    """Yield a broker, where workers reach it, and their settings for that."""
    if not options.secure:
        with LocalBroker() as broker:
            yield broker, broker.bootstrap, {}
        return
    certificates = folder / "certificates"
    certificates.mkdir()
    listeners = secured_listeners(certificates)
    with LocalBroker(secured=listeners) as broker:
        yield broker, broker.secured_bootstraps["BOTH"], listeners.access("SASL_SSL")


def _report_faults(trial: Trial) -> None:
    pool = trial.pool
    lived = f"a killed worker had lived {statistics.median(pool.lives or [0.0]):.1f} s (median)"
    trial.add("kills", pool.counts[signal.SIGKILL], "SIGKILLs", note=lived)
    trial.add("pauses longer than the session timeout", pool.counts[signal.SIGSTOP], "SIGSTOPs")
    trial.add(
        "workers stopped and added",
        pool.counts[signal.SIGTERM],
        "SIGTERMs",
        note=_codes(pool.bad_stops),
    )
    trial.add(
        "broker restarts",
        trial.broker.num_stops + trial.broker.num_kills,
        note=f"{trial.broker.num_kills} by SIGKILL",
    )
    trial.add(
        "workers that ended by themselves",
        len(pool.failures),
        target="0",
        note=_codes(pool.failures),
    )
    trial.add("partitions assigned", pool.num_assignments(), note="by the workers' logs")
    trial.add("chunks published again", trial.feed.num_retries)


def _codes(codes: Sequence[int]) -> str:
    return f"exit codes {sorted(set(codes))}" if codes else ""
