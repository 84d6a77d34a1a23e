"""Runs a real Apache Kafka on loopback: one KRaft node in a temporary directory.

BrokerError          Exception
├── PortTakenError     a port is in use: retriable on another port
└── BrokerFailedError  the broker did not start: read the log lines in the message
"""

import contextlib
import fcntl
import functools
import logging
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from base64 import urlsafe_b64encode
from itertools import cycle, islice
from pathlib import Path

from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from deploy.guarded import LocalService, end_guarded, log_tail, signal_group, start_guarded
from deploy.kafka.jars import kafka_jars
from deploy.kafka.secured import SecuredListeners

_LOG = logging.getLogger(__name__)
_HOST = "127.0.0.1"
# Tries with other ports, should another process take a free port first. Chosen by hand.
_START_ATTEMPTS = 3
# Seconds until the broker must serve: a limit for a loaded machine. Chosen by hand.
# Twice as long: a broken broker is noticed later.
_START_SECONDS = 240.0
# Seconds between two checks of a starting broker. Twice as many: up to 0.1 s later.
_POLL_SECONDS = 0.1
# Below those that Linux gives to outgoing connections, above those that services are
# known by. Fewer: two that look at the same time take the same one sooner.
_FREE_PORTS = range(12_000, 32_768)
# Tries until one is free. Twice as many: a machine that has hardly any is told later.
_PORT_ATTEMPTS = 1000
# Each in turn, so that who asks for several before it listens has several. In an order
# of each process's own; tests seed the usual generator.
_PORTS_IN_TURN = cycle(random.Random().sample(_FREE_PORTS, len(_FREE_PORTS)))


_CONFIG = """\
process.roles=broker,controller
node.id=1
listeners={clients},CONTROLLER://{host}:{controller_port}
advertised.listeners={clients}
listener.security.protocol.map={protocols},CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.voters=1@{host}:{controller_port}
log.dirs={data}
auto.create.topics.enable=false
group.coordinator.rebalance.protocols=classic,consumer
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
# Of groups whose partitions the broker shares out: it says these, not their members.
group.consumer.min.session.timeout.ms=1000
group.consumer.session.timeout.ms=6000
group.consumer.min.heartbeat.interval.ms=500
group.consumer.heartbeat.interval.ms=500
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# Replayed events carry the time they happened, perhaps years ago: retention by time
# would delete them.
log.retention.ms=-1
log.cleaner.dedupe.buffer.size=4194304
# A killed broker may come back only when its old session has run out. Half as long: one
# that a busy machine stops for three seconds takes no topics until it is heard again.
broker.session.timeout.ms=6000
broker.heartbeat.interval.ms=500
num.network.threads=2
num.io.threads=4
"""


class BrokerError(Exception):
    """The local broker failed."""

    retriable = False


class PortTakenError(BrokerError):
    """Another process listens on the port.

    Retriable: stop that process or take another port.
    """

    retriable = True


class BrokerFailedError(BrokerError):
    """The broker did not start.

    Not retriable: the message ends with its last log lines.
    """


class LocalBroker(LocalService):
    """A broker that lives as long as the `with` block, and never longer than the
    process that started it.

    Args:
        port: where clients connect; None takes a free one.
        secured: more listeners, each on a free port.

    Attributes:
        bootstrap: "host:port" for clients, the same over restarts; valid once started.
        secured_bootstraps: the same of each of the secured listeners, by its name.
    """

    def __init__(self, port: int | None = None, *, secured: SecuredListeners | None = None) -> None:
        self.bootstrap = ""
        self.secured_bootstraps: dict[str, str] = {}
        self._wanted_port = port
        self._secured = secured
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the broker and return when it serves clients.

        After `kill`, on the same port and data.

        Raises:
            MissingToolError: no Java, or no Maven to fetch the jars with.
            FetchError: the jars could not be fetched.
            BrokerError: the port is taken, or the broker failed.
        """
        lib = kafka_jars()
        if self._folder is not None:
            self._launch(lib, self._folder)
            return
        for attempt in range(1, _START_ATTEMPTS + 1):
            try:
                self._launch(lib, self._prepare(lib))
            except PortTakenError:
                self.stop()
                if self._wanted_port is not None or attempt == _START_ATTEMPTS:
                    raise
            except BaseException:
                self.stop()
                raise
            else:
                return

    def stop(self) -> None:
        """Kill the broker and remove its directory.

        Does nothing when it is not there.
        """
        self.kill()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def kill(self) -> None:
        """Kill the broker as a crash would, keeping its data.

        `start` brings it back.
        """
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Shut the broker down cleanly and start it again on the same port and data."""
        self._end(signal.SIGTERM)
        self.start()

    def pause(self) -> None:
        """Suspend the broker: it accepts connections and answers nothing."""
        if self._process is not None:
            signal_group(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused broker run again."""
        if self._process is not None:
            signal_group(self._process.pid, signal.SIGCONT)

    def wait(self) -> None:
        """Return only when the broker has ended by itself.

        Raises:
            BrokerFailedError: always, with the reason, for a broker never ends by
                itself cleanly.
        """
        status = self._process.wait() if self._process is not None else 0
        raise BrokerFailedError(f"Kafka on {self.bootstrap} ended {self._why_ended(status)}")

    def log_tail(self, lines: int = 20) -> str:
        """Return the last lines that the broker logged."""
        return "" if self._folder is None else log_tail(self._folder / "broker.log", lines)

    def _why_ended(self, status: int) -> str:
        """Return how it ended, with what it logged where that may say why."""
        if status == -signal.SIGKILL:  # which leaves it no time to log anything
            return "by signal 9: something killed it, the kernel perhaps for want of memory (dmesg)"
        how = f"by signal {-status}" if status < 0 else f"with status {status}"
        return f"{how}:\n{self.log_tail()}"

    def _prepare(self, lib: Path) -> Path:
        """Make the directory, write the configuration, format the storage and return
        the directory.
        """
        port = self._wanted_port if self._wanted_port is not None else free_port()
        _require_free(port)
        self._folder = folder = Path(tempfile.mkdtemp(prefix="freshet-kafka-"))
        self.bootstrap = f"{_HOST}:{port}"
        (folder / "server.properties").write_text(self._config(folder / "data"), "utf-8")
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        java = self._java(
            lib, "-Xmx128m", "-XX:TieredStopAtLevel=1", main="kafka.tools.StorageTool"
        )
        more = self._secured.format_arguments if self._secured else ()
        done = subprocess.run(
            [*java, "format", f"--cluster-id={cluster}", "-c", "server.properties", *more],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise BrokerFailedError(
                f"Kafka's storage could not be formatted:\n{done.stdout}{done.stderr}"
            )
        return folder

    def _config(self, data: Path) -> str:
        """Return the broker's configuration, with a port for each secured listener."""
        secured = self._secured
        protocols = {"PLAINTEXT": "PLAINTEXT", **(secured.protocols if secured else {})}
        addresses = {"PLAINTEXT": self.bootstrap}
        addresses |= {name: f"{_HOST}:{free_port()}" for name in protocols if name not in addresses}
        self.secured_bootstraps = {**addresses}
        del self.secured_bootstraps["PLAINTEXT"]
        config = _CONFIG.format(
            host=_HOST,
            clients=",".join(f"{name}://{address}" for name, address in addresses.items()),
            protocols=",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
            controller_port=free_port(),
            data=data,
        )
        return config + (secured.config if secured else "")

    def _launch(self, lib: Path, folder: Path) -> None:
        if self._process is not None:
            return
        java = [*self._java(lib, "-Xms256m", "-Xmx512m", main="kafka.Kafka"), "server.properties"]
        self._process = start_guarded(java, folder, folder / "broker.log")
        self._await_clients()
        _LOG.info("broker started bootstrap=%s", self.bootstrap)

    @staticmethod
    def _java(lib: Path, *options: str, main: str) -> list[str]:
        logging_options = [
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-Djava.awt.headless=true",
        ]
        return ["java", *options, *logging_options, "-cp", f"{lib.resolve()}/*", main]

    def _await_clients(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self._serves():
            if self._process is None or self._process.poll() is not None:
                tail = self.log_tail()
                self.kill()
                kind = PortTakenError if "already in use" in tail.lower() else BrokerFailedError
                raise kind(f"Kafka on {self.bootstrap} ended while starting:\n{tail}")
            if time.monotonic() > deadline:
                tail = self.log_tail()
                self.kill()
                raise BrokerFailedError(
                    f"Kafka on {self.bootstrap} took no client in {_START_SECONDS:.0f} s:\n{tail}"
                )
            time.sleep(_POLL_SECONDS)

    def _serves(self) -> bool:
        """Whether the broker answers a client and knows itself as a live member of the
        cluster.
        """
        host, _, port = self.bootstrap.rpartition(":")
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
            return self._answers_admin()
        return False

    def _answers_admin(self) -> bool:
        try:
            admin = KafkaAdminClient(bootstrap_servers=self.bootstrap, bootstrap_timeout_ms=2000)
        except KafkaError:
            return False
        try:
            return bool(admin.describe_cluster()["brokers"])
        except KafkaError:
            return False
        finally:
            admin.close()

    def _end(self, with_signal: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            end_guarded(process, with_signal)


def free_port() -> int:
    """Return a loopback TCP port that no process listens on now, another each time.

    It is none of those that the system gives to outgoing connections, which could take
    it before it is listened on; and no other process of this user is given it by this
    function as long as this one lives, whether it listens there yet, still, or never.

    Raises:
        PortTakenError: hardly any is free.
    """
    for port in islice(_PORTS_IN_TURN, _PORT_ATTEMPTS):
        with contextlib.suppress(OSError), socket.create_server((_HOST, port)):
            # A byte of the file a port: the system ends a lock with its process.
            fcntl.lockf(_reservations(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
            return port
    raise PortTakenError(
        f"{_PORT_ATTEMPTS} ports from {_FREE_PORTS[0]} to {_FREE_PORTS[-1]} are in use: stop "
        "what listens there"
    )


@functools.cache
def _reservations() -> int:
    """Return the open file whose locked bytes are the ports that processes were given.

    It is closed by nobody: that would end all locks.
    """
    path = Path(tempfile.gettempdir()) / f"freshet-ports-{os.getuid()}"
    return os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)


def _require_free(port: int) -> None:
    try:
        socket.create_server((_HOST, port)).close()
    except OSError as error:
        raise PortTakenError(
            f"port {port} is in use: stop what listens there, or choose another port (--port)"
        ) from error
