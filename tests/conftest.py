"""What the tests of all packages share.

A real broker, own topics, free ports, a clean environment, a watchdog.
"""

import faulthandler
import os
import signal
import socket
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import hypothesis
import pytest

_ROOT = Path(__file__).resolve().parent.parent
_KEPT_VARIABLES = {"FRESHET_DATA", "FRESHET_KAFKA_LIB", "FRESHET_TEST_KAFKA"}
_WATCHDOG_GRACE_SECONDS = 30.0
_STDERR = pytest.StashKey[int]()

# A deadline would make a property depend on how busy the machine is.
hypothesis.settings.register_profile("freshet", deadline=None, print_blob=True)
hypothesis.settings.load_profile("freshet")

TopicFactory = Callable[..., Mapping[str, str]]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that CI runs with."""
    parser.addoption("--fail-on-skip", action="store_true", help="a skipped test is a failed test")


def pytest_configure(config: pytest.Config) -> None:
    """Keep the terminal's standard error, which capturing replaces, for the watchdog.

    Heed Ctrl-C.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # What a shell starts with & ignores it, and so would every process that a test
        # interrupts.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is None:
        config.stash[_STDERR] = os.dup(2)
        return
    with capture.global_and_fixture_disabled():
        config.stash[_STDERR] = os.dup(2)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Give the kept standard error back."""
    os.close(config.stash[_STDERR])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that wants a broker, so that `-m "not kafka"` leaves them out."""
    for item in items:
        if "kafka_bootstrap" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kafka)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where --fail-on-skip asks for it."""
    report = yield
    if not hasattr(report, "wasxfail"):
        _forbid_skip(report, item.config)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole module that is skipped while it is collected."""
    report = yield
    _forbid_skip(report, collector.config)
    return report


def _forbid_skip(report: pytest.TestReport | pytest.CollectReport, config: pytest.Config) -> None:
    if report.skipped and config.getoption("--fail-on-skip"):
        report.outcome = "failed"
        report.longrepr = (
            f"{report.nodeid} was skipped, which --fail-on-skip forbids: {report.longrepr}"
        )


@pytest.fixture(autouse=True)
def watchdog(request: pytest.FixtureRequest) -> Iterator[None]:
    """End the run with every thread's stack when a test hangs out of its timeout's
    reach, in C code.
    """
    marker = request.node.get_closest_marker("timeout")
    limit = float(marker.args[0] if marker and marker.args else request.config.getini("timeout"))
    faulthandler.dump_traceback_later(
        limit + _WATCHDOG_GRACE_SECONDS, exit=True, file=request.config.stash[_STDERR]
    )
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(scope="session", autouse=True)
def clean_environment() -> Iterator[None]:
    """Take the developer's own FRESHET_ settings out of the environment.

    Tests set what they mean.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("FRESHET_")]:
            if name not in _KEPT_VARIABLES:
                patch.delenv(name)
        yield


class _ClosedWhenCollected(socket.socket):
    def __del__(self) -> None:
        """Close without the warning that a plain socket gives."""
        self.close()


@pytest.fixture(scope="session", autouse=True)
def closed_sockets() -> Iterator[None]:
    """Have kafka-python's sockets close themselves when they are left to the garbage
    collector.

    Version 3.0 leaves them there where its client is closed while it connects, before
    or after the connect has come about, and their warning would fail whatever test runs
    by then.
    """
    from kafka.net.inet import KafkaNetSocket

    def made(
        _: object,
        family: int = socket.AF_UNSPEC,
        sock_type: int = socket.SOCK_STREAM,
        proto: int = socket.IPPROTO_TCP,
    ) -> socket.socket:
        return _ClosedWhenCollected(family, sock_type, proto)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(KafkaNetSocket, "socket", made)
        yield


@pytest.fixture(scope="session")
def data_folder() -> Path | None:
    """The folder with real event logs, or None where this machine has none."""
    given = os.environ.get("FRESHET_DATA")
    if given and not Path(given).is_dir():
        pytest.fail(f"FRESHET_DATA={given} is not a folder", pytrace=False)
    folder = Path(given) if given else _ROOT.parent / "shared" / "data"
    return folder if folder.is_dir() else None


@pytest.fixture
def free_port() -> Callable[[], int]:
    """A function that returns a loopback port nobody listens on."""
    from deploy.kafka.broker import free_port

    return free_port


@pytest.fixture(scope="session")
def kafka_bootstrap() -> Iterator[str]:
    """Address of a real Apache Kafka ("host:port").

    FRESHET_TEST_KAFKA's, else one for this run.
    """
    given = os.environ.get("FRESHET_TEST_KAFKA")
    if given:
        yield given
        return
    from deploy.kafka.broker import BrokerError, LocalBroker
    from deploy.maven import FetchError, MissingToolError

    broker = LocalBroker()
    try:
        broker.start()
    except (BrokerError, FetchError, MissingToolError) as error:
        pytest.fail(str(error), pytrace=False)
    yield broker.bootstrap
    broker.stop()


@pytest.fixture
def kafka_topics(kafka_bootstrap: str) -> Iterator[TopicFactory]:
    """A function that creates this test's own topics, deleted afterwards.

    ``kafka_topics(partitions=2)`` maps clicks, sessions, catalog, erasures and
    quarantine to real names.
    """
    from kafka.admin import KafkaAdminClient

    from deploy.kafka.topics import create_topics

    created: list[str] = []

    def create(*, partitions: int = 1) -> Mapping[str, str]:
        names = create_topics(
            kafka_bootstrap, partitions=partitions, prefix=f"test-{uuid.uuid4().hex[:8]}."
        )
        created.extend(names)
        return {name.rpartition(".")[2]: name for name in names}

    yield create
    if created:
        admin: Any = KafkaAdminClient(bootstrap_servers=kafka_bootstrap)
        admin.delete_topics(created)
        admin.close()


@pytest.fixture(scope="session")
def make_arrays(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Return a function that puts events and items through a real store and reads its
    arrays.
    """
    from stream.reading.reader import open_graph
    from stream.settings import StreamSettings
    from testing.small_shop import fill_store

    numbers = count()

    def make(events: Sequence[Any], items: Sequence[Any] = ()) -> Any:
        root = tmp_path_factory.mktemp("store") / f"{next(numbers)}.store"
        fill_store(root, events, items)
        with open_graph(root, StreamSettings()) as graph:
            return graph.arrays()

    return make


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Return a folder with a log of the small shop."""
    from testing.small_shop import write_log

    write_log(tmp_path / "logs" / "shop")
    return tmp_path / "logs"


@pytest.fixture(scope="session")
def settings() -> Any:
    """Return model settings that train the small shop in well under a second."""
    from testing.small_shop import small_settings

    return small_settings()


@pytest.fixture
def artifacts(tmp_path: Path) -> Any:
    """Return an artifacts folder without a generation."""
    from testing.small_generations import Artifacts

    return Artifacts(tmp_path / "artifacts")


@pytest.fixture
def serve(artifacts: Any) -> Iterator[Any]:
    """Yield a function that starts a server over `artifacts`, with a fixed clock."""
    from testing.retrieval_server import serving

    with serving(artifacts.root) as start:
        yield start
