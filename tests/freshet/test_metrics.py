"""Tests of the metrics endpoint."""

import logging
import math
import shutil
import socket
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Gauge

from freshet.metrics import metrics_endpoint, name_process, watch_disks
from freshet.process import CommandError


def test_metrics_are_served_while_inside(free_port: Callable[[], int]) -> None:
    """The endpoint comes and goes with the process that it tells of."""
    registry = CollectorRegistry()
    Gauge("freshet_test_answer", "For the test", registry=registry).set(42)
    address = f"127.0.0.1:{free_port()}"

    with metrics_endpoint(address, registry):
        text = urllib.request.urlopen(f"http://{address}/metrics", timeout=60).read().decode()
    assert "freshet_test_answer 42.0" in text
    with metrics_endpoint(address, registry):
        pass


def test_a_busy_metrics_address_is_an_error_only_if_it_was_asked_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A default address that is taken costs the metrics, not the process."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with (
            pytest.raises(CommandError, match=f"{address} is taken"),
            metrics_endpoint(address, CollectorRegistry()),
        ):
            pass
        with (
            caplog.at_level(logging.WARNING),
            metrics_endpoint(None, CollectorRegistry(), default=address),
        ):
            assert f"{address} is taken" in caplog.text


def test_a_process_says_which_it_is(free_port: Callable[[], int]) -> None:
    """A stranger on its port does not; its start tells a restart."""
    registry = CollectorRegistry()
    name_process(registry, "tuner")
    address = f"127.0.0.1:{free_port()}"
    with metrics_endpoint(address, registry):
        text = urllib.request.urlopen(f"http://{address}/metrics", timeout=60).read().decode()

    assert 'freshet_build_info{process="tuner",version="' in text
    assert "process_start_time_seconds" in text


def test_a_disk_is_told_before_its_folder_is_there(tmp_path: Path) -> None:
    """A store that is made later is where the folder above it is."""
    registry = CollectorRegistry()
    watch_disks(registry, {"store": tmp_path / "not" / "yet"})

    size = registry.get_sample_value("freshet_disk_size_bytes", {"folder": "store"})
    free = registry.get_sample_value("freshet_disk_free_bytes", {"folder": "store"})

    assert size == shutil.disk_usage(tmp_path).total
    assert free is not None
    assert not math.isnan(free)
    assert 0 < free <= size
    assert registry.get_sample_value("freshet_disk_writable", {"folder": "store"}) == 1


def test_a_folder_that_takes_nothing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may write anywhere else is asked by the system."""
    registry = CollectorRegistry()
    watch_disks(registry, {"artifacts": tmp_path, "proc": Path("/proc/self")})
    monkeypatch.setattr("os.access", lambda path, _: path != tmp_path)

    assert registry.get_sample_value("freshet_disk_writable", {"folder": "artifacts"}) == 0
    assert registry.get_sample_value("freshet_disk_writable", {"folder": "proc"}) == 1
