"""Starts the images beside a real Kafka, asks them, kills the broker, stops them."""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from threading import Thread

import fastavro

from deploy.images.engine import ROOT, USER, Engine, ImagesError
from deploy.kafka.broker import LocalBroker
from deploy.kafka.topics import create_topics
from freshet.probe import Samples, read_metrics, total
from freshet_client import RetrievalClient
from stream.clock import now_ms
from stream.kafka.partitioner import shard_of
from stream.kafka.producer import RecordProducer
from stream.settings import StreamSettings

_STORE, _ARTIFACTS = "/data/store", "/data/artifacts"
# Seconds that a step may take on a loaded machine. Twice as many: told later.
_STEP_SECONDS = 300.0
_METRICS = {"stream": 9101, "tuner": 9102, "server": 9103, "refresher": 9104, "probe": 9105}
_SERVER = "127.0.0.1:50051"
_HITS = 10
# Another user reads this checkout and its Python, wherever they are, below /root too.
_READING = (
    "--clear-groups",
    "--inh-caps=+dac_read_search",
    "--ambient-caps=+dac_read_search",
)
# Of the probe: a product appears, a click counts, a deletion does.
_STEPS = 3
# As many as members of a group take in turn, so that the trial has more than one.
_PARTITIONS = 2
_SCHEMA_ID = 1
_SCHEMA = {
    "type": "record",
    "name": "Click",
    "fields": [{"name": "ts_ms", "type": "long"}]
    + [{"name": name, "type": "string"} for name in ("type", "session_id", "query", "item_id")],
}


def try_images(engine: Engine, targets: Collection[str], say: Callable[[str], None]) -> None:
    """Run the system from its images; each container can write its volumes alone.

    Args:
        engine: has the images.
        targets: which run; server and stream among them, refresher and probe both or
            neither.
        say: told each step.

    Raises:
        ImagesError: an image does not do what it should; the message says which, and
            what.
    """
    with (
        tempfile.TemporaryDirectory() as scratch,
        LocalBroker() as broker,
        _schema_registry(Path(scratch)) as registry_url,
    ):
        trial = _Trial(engine, broker, registry_url, Path(scratch), say)
        try:
            trial.run(is_whole="probe" in targets)
        finally:
            for name in _METRICS:
                engine.remove(f"freshet-{name}")


@contextmanager
def _schema_registry(scratch: Path) -> Iterator[str]:
    """Yield the URL of what answers for one schema as a registry does."""
    path = scratch / "schemas" / "ids" / str(_SCHEMA_ID)
    path.parent.mkdir(parents=True)
    schema = {"schemaType": "AVRO", "schema": json.dumps(_SCHEMA)}
    path.write_text(json.dumps(schema), "utf-8")
    handler = partial(_Files, directory=str(scratch))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Log nothing."""


class _Trial:
    def __init__(
        self,
        engine: Engine,
        broker: LocalBroker,
        registry_url: str,
        scratch: Path,
        say: Callable[[str], None],
    ) -> None:
        self._engine = engine
        self._broker = broker
        self._registry_url = registry_url
        self._scratch = scratch
        self._say = say
        self._store = scratch / "store"
        self._artifacts = scratch / "artifacts"
        self._started: list[str] = []

    def run(self, *, is_whole: bool) -> None:
        """Do all steps; with refresher and probe if it is the whole system."""
        scratch = self._scratch
        scratch.chmod(0o755)
        for folder in (self._store, self._artifacts):
            folder.mkdir()
            shutil.chown(folder, USER, USER)
        create_topics(self._broker.bootstrap, partitions=_PARTITIONS)
        kafka = f"kafka:{self._broker.bootstrap}"
        self._start(
            "stream",
            {self._store: _STORE},
            *("--source", kafka, "--store", _STORE),
            environment={"FRESHET_STREAM_SCHEMA_REGISTRY_URL": self._registry_url},
        )
        self._fill(kafka)
        self._train()
        read_only = {self._artifacts: f"{_ARTIFACTS}:ro"}
        self._start("server", read_only, "--artifacts", _ARTIFACTS, "--listen", _SERVER)
        self._ask()
        if is_whole:
            self._start(
                "refresher",
                {self._store: f"{_STORE}:ro", self._artifacts: _ARTIFACTS},
                *("--store", _STORE, "--artifacts", _ARTIFACTS, "--servers", _SERVER),
            )
            self._start("probe", {}, "--to", kafka, "--target", _SERVER, "--every", "2s")
            self._probe()
        self._lose_the_broker()
        self._stop()

    def _start(
        self,
        process: str,
        volumes: dict[Path, str],
        *arguments: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        command = {"stream": "stream", "server": "serve", "refresher": "refresh", "probe": "probe"}
        name = f"freshet-{process}"
        self._engine.remove(name)
        metrics = ("--metrics", f"127.0.0.1:{_METRICS[process]}")
        began = time.monotonic()
        self._engine.start(
            name, process, [command[process], *arguments, *metrics], volumes, environment
        )
        self._engine.wait_until(name, "", _STEP_SECONDS)
        self._started.insert(0, process)
        self._say(f"{process}: healthy {time.monotonic() - began:.1f} s after its start")

    def _fill(self, kafka: str) -> None:
        """Let a small shop's events come in, and wait until all are in the graph."""
        shop = self._scratch / "shop"
        _freshet("simulate", "--items", "200", "--events", "4000", "--out", str(shop))
        _freshet(
            *("replay", "--speed", "max", "--to", kafka, "--batch", "100"),
            *("--events", str(shop / "events.jsonl"), "--items", str(shop / "items.jsonl")),
        )
        self._publish_framed()
        wanted = sum(1 for _ in (shop / "events.jsonl").open("rb")) + 1
        self._wait(
            "the stream has not applied what was published",
            "stream",
            lambda samples: (total(samples, "freshet_stream_events_total") or 0) >= wanted,
        )
        self._say(f"stream: {wanted} events applied, one of them Avro of a schema registry")

    def _publish_framed(self) -> None:
        """Publish a click in Avro, whose schema the stream asks the registry for."""
        click = {"ts_ms": now_ms(), "type": "search_click", "session_id": "framed"}
        click |= {"query": "bluetooth speaker", "item_id": "p000001"}
        content = BytesIO(b"\0" + _SCHEMA_ID.to_bytes(4, "big"))
        content.seek(0, 2)
        fastavro.schemaless_writer(content, _SCHEMA, click)
        settings = StreamSettings()
        with closing(RecordProducer(self._broker.bootstrap, settings)) as producer:
            partition = shard_of("framed", _PARTITIONS)
            producer.send(settings.clicks_topic, partition, b"framed", content.getvalue(), [])
            producer.flush()

    def _train(self) -> None:
        """Make a generation, with the tuner's image where there is one."""
        engine, volumes = self._engine, {self._store: _STORE, self._artifacts: _ARTIFACTS}
        arguments = ["train", "--store", _STORE, "--artifacts", _ARTIFACTS, "--budget", "30s"]
        if engine.podman("image", "exists", "localhost/freshet-tuner", check=False).returncode == 0:
            engine.remove("freshet-tuner")
            engine.start("freshet-tuner", "tuner", arguments, volumes)
            if int(engine.podman("wait", "freshet-tuner").stdout):
                raise ImagesError(f"tuner: it could not train\n{engine.logs('freshet-tuner')}")
            self._say("tuner: trained a generation")
            return
        # As the images' user, with whom the checkout shares the store.
        _freshet(
            *("train", "--store", str(self._store), "--artifacts", str(self._artifacts)),
            *("--budget", "30s"),
            user=USER,
        )
        self._say("a generation was trained by the checkout: there is no image of the tuner")

    def _ask(self) -> None:
        with RetrievalClient(_SERVER) as client:
            hits = client.retrieve("bluetooth speaker", _HITS).hits
        if len(hits) != _HITS:
            raise ImagesError(f"server: {len(hits)} hits of {_HITS}")
        self._say("server: answers Retrieve")

    def _probe(self) -> None:
        self._wait(
            "the probe has seen no answer that shows what it published",
            "probe",
            lambda samples: (total(samples, "freshet_probe_seconds_count") or 0) >= _STEPS,
        )
        self._say("probe: a product, a click and a deletion went from Kafka to answers")

    def _lose_the_broker(self) -> None:
        """A stream whose broker is dead is told from one whose broker lives."""
        self._broker.kill()
        self._engine.wait_until("freshet-stream", "the broker has not answered", _STEP_SECONDS)
        self._say("stream: unhealthy while the broker is dead")
        self._broker.start()
        self._engine.wait_until("freshet-stream", "", _STEP_SECONDS)
        self._say("stream: healthy when it is back")

    def _stop(self) -> None:
        for process in self._started:
            code = self._engine.stop(f"freshet-{process}")
            if code:
                logs = self._engine.logs(f"freshet-{process}")
                raise ImagesError(f"{process}: exit code {code} after SIGTERM\n{logs}")
        self._say("all ended with 0 after SIGTERM")

    def _wait(self, problem: str, process: str, holds: Callable[[Samples], bool]) -> None:
        deadline = time.monotonic() + _STEP_SECONDS
        while not holds(read_metrics(f"127.0.0.1:{_METRICS[process]}")):
            if time.monotonic() > deadline:
                raise ImagesError(f"{problem}\n{self._engine.logs(f'freshet-{process}')}")
            time.sleep(0.5)


def _freshet(*arguments: str, user: int | None = None) -> None:
    """Run the command of this checkout, as another user if so wanted."""
    as_user = [] if user is None else ["setpriv", f"--reuid={user}", f"--regid={user}", *_READING]
    done = subprocess.run(
        [*as_user, sys.executable, "-m", "freshet", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    if done.returncode:
        raise ImagesError(f"freshet {arguments[0]}: {done.stderr}")
