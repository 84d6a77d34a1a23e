"""Tests that the images and the compose file run commands that exist, at addresses that
agree.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent import futures
from pathlib import Path
from typing import Any

import click
import grpc
import pytest
import yaml
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry, Gauge

from deploy.kafka.topics import TOPICS
from freshet.commands.cli import cli
from freshet.metrics import name_process
from freshet.metrics_port import listening
from freshet.metrics_settings import MetricsSettings
from freshet.terminal.addresses import CONSOLE, SINK_METRICS
from server.security.tokens import new_token
from testing.processes.metrics_endpoint import serving_metrics

_ROOT = Path(__file__).resolve().parents[2]
_PROCESSES = ("stream", "tuner", "refresher", "server", "probe")
_COMPOSE: dict[str, Any] = yaml.safe_load((_ROOT / "deploy" / "compose.yaml").read_text("utf-8"))
_DOCKERFILE = (_ROOT / "deploy" / "Dockerfile").read_text("utf-8")


def _image_command(target: str) -> list[str]:
    """The CMD of a Dockerfile target."""
    stage = re.split(r"^FROM \S+ AS (\S+)$", _DOCKERFILE, flags=re.MULTILINE)
    body = dict(zip(stage[1::2], stage[2::2], strict=True))[target]
    (command,) = re.findall(r"^CMD (\[.+\])$", body, re.MULTILINE)
    arguments: list[str] = json.loads(command)
    return arguments


def _parsed(arguments: list[str]) -> dict[str, Any]:
    """What the command line means.

    Fails like the command would on an option or a value it does not know.
    """
    name, command, rest = cli.resolve_command(click.Context(cli), list(arguments))
    assert command is not None
    return command.make_context(name, rest, resilient_parsing=False).params


@pytest.mark.parametrize("process", _PROCESSES)
def test_image_runs_a_command_that_exists(process: str) -> None:
    """The freshet command understands the image's and compose's command lines, and they
    mean the same.
    """
    composed = _parsed(_COMPOSE["services"][process]["command"])

    assert composed == _parsed(_image_command(process))


@pytest.mark.parametrize("process", _PROCESSES)
def test_scraped_port_is_served_and_published_on_loopback(process: str) -> None:
    """The metrics port is the same in the command, the published ports and Prometheus'
    targets.
    """
    service = _COMPOSE["services"][process]
    (port,) = re.findall(r"--metrics[ =]0\.0\.0\.0:(\d+)", " ".join(service["command"]))
    scraped = yaml.safe_load(
        (_ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text("utf-8")
    )["scrape_configs"]
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in scraped}

    assert f"127.0.0.1:{port}:{port}" in service["ports"]
    assert targets[process] == [f"{process}:{port}"]


def test_everything_published_is_on_loopback_and_restarts() -> None:
    """No port is open to the network, and every lasting service comes back after a
    crash.
    """
    for name, service in _COMPOSE["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        assert service["restart"] == ("no" if name == "topics" else "unless-stopped")


def test_the_security_page_lists_every_port() -> None:
    """Each port that compose publishes has its line on the page, and each of a process
    that compose does not start; no other has.
    """
    page = (_ROOT / "SECURITY.md").read_text("utf-8")
    listed = set(re.findall(r"^\| (\d+) \|", page, re.MULTILINE))
    published = {
        port.rpartition(":")[2]
        for service in _COMPOSE["services"].values()
        for port in service.get("ports", [])
    }

    others = {address.rpartition(":")[2] for address in (CONSOLE, SINK_METRICS)}
    assert listed == published | others


def test_compose_creates_the_topics_that_the_tests_use() -> None:
    """Topics and their settings are the same in compose as in the local broker."""
    (script,) = _COMPOSE["services"]["topics"]["command"]
    created = re.findall(r"^create (\S+) --config (\S+)=(\S+)$", script, re.MULTILINE)

    assert {topic: {key: value} for topic, key, value in created} == {
        name: dict(settings) for name, settings in TOPICS.items()
    }


def test_broker_version_is_the_tested_one() -> None:
    """Compose runs the Kafka version that the tests run against."""
    (version,) = re.findall(
        r"<artifactId>kafka_2.13</artifactId>\s*<version>(.+)</version>",
        (_ROOT / "deploy" / "kafka" / "pom.xml").read_text("utf-8"),
    )

    assert _COMPOSE["services"]["kafka"]["image"] == f"apache/kafka:{version}"
    assert _COMPOSE["services"]["topics"]["image"] == f"apache/kafka:{version}"


def test_what_the_image_copies_exists_and_is_sent() -> None:
    """Every COPY source is in the tree and not kept back by the ignore file."""
    sent = {
        line[1:]
        for line in (_ROOT / "deploy" / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
        if line[0] == "!"
    }
    copied = {
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", _DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    }

    assert copied == sent
    assert all((_ROOT / source).exists() for source in copied)


def _healthcheck(process: str, target: str) -> tuple[int, str]:
    command = [sys.executable, str(_ROOT / "deploy" / "healthcheck.py"), process, target]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.returncode, done.stderr


def test_healthcheck_follows_the_health_service() -> None:
    """The image's health check passes only while the server says that it serves."""
    servicer: Any = health.HealthServicer()
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
    add: Any = health_pb2_grpc.add_HealthServicer_to_server
    add(servicer, server)
    target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    serving = _healthcheck("server", target)
    servicer.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    not_serving = _healthcheck("server", target)
    server.stop(None).wait()

    assert serving == (0, "")
    assert not_serving[0] == 1
    assert "does not serve" in not_serving[1]
    assert _healthcheck("server", target)[0] == 1


@pytest.mark.parametrize(
    ("process", "silent_seconds", "said"),
    [
        ("stream", 0.0, ""),
        ("stream", 31.0, "has not answered for 31 s"),
        ("tuner", 0.0, "no tuner"),
    ],
)
def test_healthcheck_tells_a_dead_broker(
    free_port: Callable[[], int], process: str, silent_seconds: float, said: str
) -> None:
    """A stream is unhealthy while its broker is silent, and whoever is another process
    is.
    """
    registry = CollectorRegistry()
    info = Gauge("freshet_build_info", "", ["process", "version"], registry=registry)
    info.labels("stream", "1").set(1)
    silent = Gauge("freshet_stream_broker_silent_seconds", "", registry=registry)
    silent.set(silent_seconds)
    address = f"127.0.0.1:{free_port()}"
    with serving_metrics(address, registry):
        found = _healthcheck(process, address)

    assert found[0] == bool(said)
    assert said in found[1]
    assert _healthcheck(process, address)[0] == 1


def test_healthcheck_reads_protected_metrics(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With TLS and a token, where its variables name them."""
    registry = CollectorRegistry()
    name_process(registry, "tuner")
    token, line = new_token("health")
    (tmp_path / "tokens").write_text(line, encoding="utf-8")
    (tmp_path / "token").write_text(token, encoding="utf-8")
    tls = _ROOT / "testing" / "golden" / "tls"
    settings = MetricsSettings(
        tls_cert=str(tls / "server.pem"),
        tls_key=str(tls / "server.key"),
        tokens=str(tmp_path / "tokens"),
    )
    with listening(("127.0.0.1", 0), registry, settings) as port:
        address = f"127.0.0.1:{port}"
        assert _healthcheck("tuner", address)[0] == 1
        monkeypatch.setenv("FRESHET_CLIENT_METRICS_TLS", "1")
        monkeypatch.setenv("FRESHET_CLIENT_TLS_CA", str(tls / "ca.pem"))
        assert "401" in _healthcheck("tuner", address)[1]
        monkeypatch.setenv("FRESHET_CLIENT_TOKEN_FILE", str(tmp_path / "token"))
        assert _healthcheck("tuner", address) == (0, "")


@pytest.mark.parametrize("target", [*_PROCESSES, "tuner-cuda"])
def test_image_checks_the_health_of_its_own_process(target: str) -> None:
    """Each target's health check asks for its process at the port of its command."""
    process = target.removesuffix("-cuda")
    stage = re.split(r"^FROM \S+ AS (\S+)$", _DOCKERFILE, flags=re.MULTILINE)
    body = dict(zip(stage[1::2], stage[2::2], strict=True))[target]
    (check,) = re.findall(r"^HEALTHCHECK .+ CMD (\[.+\])$", body, re.MULTILINE)
    command = " ".join(_image_command(target))
    option = "--listen" if process == "server" else "--metrics"
    (port,) = re.findall(rf"{option} 0\.0\.0\.0:(\d+)", command)

    assert json.loads(check) == ["python", "/healthcheck.py", process, f"127.0.0.1:{port}"]


def test_composed_processes_write_their_volumes_alone() -> None:
    """Compose runs Freshet as the chart does: a read-only root, no rights beyond."""
    for process in _PROCESSES:
        service = _COMPOSE["services"][process]

        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
