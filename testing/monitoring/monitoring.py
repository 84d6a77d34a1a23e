"""Prometheus and Alertmanager as processes, configured by the mixin."""

import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import yaml

from deploy.guarded import LocalService
from deploy.kafka.broker import free_port
from deploy.mixin.alertmanager import OPTIONAL_JOBS, alertmanager, prometheus
from deploy.mixin.rules import groups
from deploy.mixin.settings import load_settings
from testing.monitoring.binaries import binary
from testing.monitoring.webhook import Webhook

_READY_SECONDS = 60.0  # to start on a busy machine
_LOOK_SECONDS = 0.2  # between two looks at whether they are ready
_TIMEOUT_SECONDS = 30.0  # of a query


class Monitoring(LocalService):
    """Scrapes the targets, judges the rules as they are shipped, and delivers alerts to
    a webhook, while the block lasts.

    Args:
        folder: for configurations and data.

    Attributes:
        webhook: has what was delivered.
        address: "host:port" of Prometheus.
    """

    def __init__(self, folder: Path) -> None:
        self.webhook = Webhook()
        self.address = f"127.0.0.1:{free_port()}"
        self._alertmanager = f"127.0.0.1:{free_port()}"
        self._folder = folder
        self._targets: dict[str, list[str]] = {}
        self._ends = ExitStack()

    def start(self) -> None:
        """Start all of it, and return when both processes answer."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._ends.enter_context(self.webhook)
        self._configure()
        self._start_all()

    def stop(self) -> None:
        """End what runs."""
        self._ends.close()

    def watch(self, targets: Mapping[str, Sequence[str]]) -> None:
        """Scrape these addresses from now on, by job."""
        self._targets = {job: list(addresses) for job, addresses in targets.items()}
        for job, addresses in self._targets.items():
            path = self._folder / "targets" / f"{job}.json"
            path.parent.mkdir(exist_ok=True)
            new = path.with_suffix(".new")
            new.write_text(json.dumps([{"targets": addresses}] if addresses else []), "utf-8")
            new.replace(path)

    def query(self, expr: str) -> list[dict[str, Any]]:
        """Return the series that an expression has now.

        Raises:
            ValueError: Prometheus does not understand it; its message.
        """
        answer = self._get(f"/api/v1/query?{urllib.parse.urlencode({'query': expr})}")
        result: list[dict[str, Any]] = answer["result"]
        return result

    def rules(self) -> list[dict[str, Any]]:
        """Return all rules with their state and health."""
        return [rule for group in self._get("/api/v1/rules")["groups"] for rule in group["rules"]]

    def _configure(self) -> None:
        settings = replace(
            load_settings(),
            page_webhook=self.webhook.url("page"),
            ticket_webhook=self.webhook.url("ticket"),
        )
        scraped = prometheus(settings)
        scraped["scrape_configs"] += [
            {"job_name": job, "static_configs": []} for job in OPTIONAL_JOBS
        ]
        scraped["alerting"]["alertmanagers"] = [
            {"static_configs": [{"targets": [self._alertmanager]}]}
        ]
        self.watch({job["job_name"]: [] for job in scraped["scrape_configs"]})
        for job in scraped["scrape_configs"]:
            del job["static_configs"]
            path = self._folder / "targets" / f"{job['job_name']}.json"
            job["file_sd_configs"] = [{"files": [str(path)]}]
        for name, document in {
            "prometheus.yml": scraped,
            "alerts.yml": {"groups": groups(settings)},
            "alertmanager.yml": alertmanager(settings),
        }.items():
            (self._folder / name).write_text(yaml.safe_dump(document), "utf-8")

    def _start_all(self) -> None:
        self._start(
            "alertmanager",
            binary("alertmanager", "prometheus-alertmanager"),
            f"--config.file={self._folder / 'alertmanager.yml'}",
            f"--storage.path={self._folder / 'alertmanager'}",
            f"--web.listen-address={self._alertmanager}",
            "--cluster.listen-address=",
        )
        self._start(
            "prometheus",
            binary("prometheus"),
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._folder / 'prometheus'}",
            f"--web.listen-address={self.address}",
        )
        for address in (self._alertmanager, self.address):
            self._await(f"http://{address}/-/ready")

    def _start(self, name: str, program: Path, *arguments: str) -> None:
        log = self._ends.enter_context((self._folder / f"{name}.log").open("wb"))
        process = subprocess.Popen(
            [program, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        self._ends.callback(_end, process)

    def _await(self, url: str) -> None:
        pause, deadline = Event(), time.monotonic() + _READY_SECONDS
        while True:
            try:
                with _OPENER.open(url, timeout=1.0):
                    return
            except OSError as error:
                if time.monotonic() > deadline:
                    raise SystemExit(f"{url}: {error}; its log is in {self._folder}") from error
            pause.wait(_LOOK_SECONDS)

    def _get(self, path: str) -> Any:
        try:
            with _OPENER.open(f"http://{self.address}{path}", timeout=_TIMEOUT_SECONDS) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise ValueError(json.load(error)["error"]) from error


# A proxy named in the environment has no business on loopback.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()
