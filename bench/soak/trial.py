"""What the steps of one soak share: history, schedule, broker, workers, figures."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

from bench.figures import Figure, print_figure
from bench.soak.broker import BrokerFaults
from deploy.images.engine import Engine
from deploy.kafka.broker import LocalBroker
from stream.settings import StreamSettings
from testing.soak.containers import ContainerLauncher
from testing.soak.feed import Feed
from testing.soak.history import History, make_history
from testing.soak.schedule import Plan, make_schedule
from testing.soak.workers import WorkerPool, launch_process

NUM_PARTITIONS = 3  # one a worker by default; more move at each fault

# A worker may start while the broker is away, which on a busy machine takes longer to
# come back than workers usually wait for one (30 s). Twice as long: the same.
_CONFIG = """\
[stream]
bootstrap_timeout_seconds = 120
num_shards = {partitions}
session_timeout_seconds = {session_timeout}
batch_records = 50
poll_seconds = 0.1
"""


class Trial:
    """What the parts of a run share.

    History, schedule, broker, workers, folders, figures.

    Args:
        broker: where events are published, and asked what is in its topics.
        address: where the workers reach it.
        access: their settings of the stream for that, by name.
        folder: where everything is kept.
        options: of the command line.
    """

    def __init__(
        self,
        broker: LocalBroker,
        address: str,
        access: Mapping[str, str],
        folder: Path,
        options: argparse.Namespace,
    ) -> None:
        self.folder = folder
        self.store = folder / "store"
        self.figures: list[Figure] = []
        self.history: History = make_history(options.seed, options.events)
        self.steps = make_schedule(
            Plan(
                seed=options.seed,
                kills=options.kills,
                workers=options.workers,
                every_seconds=options.every,
                session_timeout_seconds=options.session_timeout,
            )
        )
        self.config = folder / "freshet.toml"
        self.config.write_text(
            _CONFIG.format(partitions=NUM_PARTITIONS, session_timeout=options.session_timeout)
            # A JSON string is one of TOML.
            + "".join(f"{name} = {json.dumps(value)}\n" for name, value in access.items())
        )
        self.settings = StreamSettings()
        self.source = f"kafka:{address}"
        self.broker = BrokerFaults(broker)
        self.feed = Feed(broker.bootstrap, self.settings, self.history.deliveries)
        command = [
            "stream",
            "--source",
            self.source,
            "--store",
            self.store,
            "--config",
            self.config,
        ]
        self.pool = WorkerPool(
            command,
            folder,
            options.workers,
            most_failures=options.kills + 20,
            launch=(
                ContainerLauncher(Engine(), "stream", folder, self.store)
                if options.containers
                else launch_process
            ),
        )
        self.bootstrap = broker.bootstrap
        self.num_workers: int = options.workers
        self.catch_up_seconds: float = options.catch_up

    def add(
        self, name: str, value: float, unit: str = "", *, target: str = "", note: str = ""
    ) -> None:
        """Add a figure and show it."""
        figure = Figure(name=name, value=float(f"{value:.4g}"), unit=unit, target=target, note=note)
        self.figures.append(figure)
        print_figure(figure)
