"""How long an event takes until answers show it: ``python -m bench freshness``.

Stream, tuner with its refresher, and server run as the README starts them, processes of
their own over a real Kafka, with the simulated shop as load. From outside, probes are
published through Kafka and asked for over gRPC until an answer shows them. Then a
backlog is applied with the refresher on and off.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from bench.figures import print_header, write_json
from bench.folders import work_folder
from bench.freshness.phases import (
    Trial,
    begin,
    measure_age,
    measure_phase,
    measure_rest,
    measure_throughput,
    needs_generators,
)
from bench.freshness.probes import KINDS, ProbeMaker
from bench.freshness.system import System
from bench.generators.program import program
from deploy.kafka.broker import LocalBroker
from deploy.kafka.topics import create_topics
from freshet.shop.shop import Shop

_PHASES = ("load", "rest")


def run(argv: Sequence[str]) -> None:
    """Measure, print a table, then one JSON line a figure."""
    options = _parse(argv)
    count = max(1, round(options.seconds / options.probe_every))
    if "load" in options.phases and needs_generators(options.rate):
        program()  # before anything waits for it
    with work_folder(options.folder, "freshness") as folder, LocalBroker() as broker:
        create_topics(broker.bootstrap, partitions=options.partitions)
        system = System(folder, broker.bootstrap, options.partitions)
        shop = Shop(options.seed, options.items)
        titles = [line["title"] for line in shop.catalog()]
        num_prepared = count * len(options.phases)
        maker = ProbeMaker(titles, num_prepared, has_lane=bool(options.fresh_every))
        trial = Trial(system, broker.bootstrap, options, maker)
        print_header()
        try:
            begin(trial, shop)
            for phase in options.phases:
                measure_phase(trial, phase, count)
            if options.rest_seconds:
                measure_rest(trial)
                measure_age(trial)
            if options.backlog:
                measure_throughput(trial)
        finally:
            trial.durable.close()
            system.stop_all()
    names = ("seconds", "probe_every", "rate", "every", "fresh_every", "items", "history")
    conditions = {name: getattr(options, name) for name in names}
    write_json("freshness", trial.figures, options.json, conditions)
    for problem in trial.problems:
        print(f"PROBLEM: {problem}")


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench freshness", description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=300.0, help="of probing, in each of the phases"
    )
    parser.add_argument(
        "--probe-every",
        type=float,
        default=1.0,
        help="seconds between two of a kind",
    )
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS[:4]))
    parser.add_argument("--phases", nargs="*", choices=_PHASES, default=list(_PHASES))
    parser.add_argument(
        "--rate",
        type=float,
        default=200.0,
        help="events a second of the load; 0: half of what a backlog is applied at",
    )
    parser.add_argument("--every", default="10m", help="from one training to the next")
    parser.add_argument(
        "--fresh-every", default="1s", help="of the fresh lane; empty: run without it"
    )
    parser.add_argument(
        "--timeout", type=float, default=60.0, help="seconds until a probe counts as never seen"
    )
    parser.add_argument("--items", type=int, default=2000, help="products of the shop")
    parser.add_argument("--history", type=int, default=50_000, help="events before the start")
    parser.add_argument("--partitions", type=int, default=1, help="of each topic, and shards")
    parser.add_argument(
        "--rest-seconds", type=float, default=30.0, help="of measuring CPU at rest; 0: leave it out"
    )
    parser.add_argument(
        "--backlog",
        type=int,
        default=200_000,
        help="events applied with the refresher on and off; 0: leave it out",
    )
    parser.add_argument(
        "--turns", type=int, default=2, help="with the refresher on and off, each; 0: none"
    )
    parser.add_argument("--seed", type=int, default=7, help="of the shop")
    parser.add_argument(
        "--folder", type=Path, help="keep store, artifacts and logs in this new folder"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the JSON lines to a file, too"
    )
    return parser.parse_args(argv)
