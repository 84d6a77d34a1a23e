"""Tests of the webhook that stands for whoever is on call."""

import json
import socket
import urllib.request
from typing import Any

from testing.monitoring.webhook import Webhook


def deliver(hook: Webhook, channel: str, status: str, **labels: str) -> None:
    """Post an alert as Alertmanager does."""
    body: dict[str, Any] = {
        "alerts": [{"status": status, "labels": labels, "annotations": {"summary": "it is so"}}]
    }
    request = urllib.request.Request(hook.url(channel), json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=60):
        pass


def test_an_alert_arrives_once_until_it_is_resolved() -> None:
    """Repeats of what fires are the same alert; after its end it is a new one."""
    with Webhook() as hook:
        deliver(hook, "page", "firing", alertname="A", instance="x")
        deliver(hook, "page", "firing", alertname="A", instance="x")
        deliver(hook, "ticket", "firing", alertname="B")
        both = {each.name for each in hook.firing}
        deliver(hook, "page", "resolved", alertname="A", instance="x")
        one = [each.name for each in hook.firing]
        deliver(hook, "page", "firing", alertname="A", instance="x")

        assert both == {"A", "B"}
        assert one == ["B"]
        assert [(each.name, each.channel) for each in hook.arrived] == [
            ("A", "page"),
            ("B", "ticket"),
            ("A", "page"),
        ]
        assert hook.since(hook.arrived[-1].at + 1) == []


def test_waiting_ends_with_what_arrives() -> None:
    """And without it when the time is up."""
    with Webhook() as hook:
        deliver(hook, "page", "firing", alertname="A")

        assert hook.wait(lambda: bool(hook.arrived), 5.0, lambda: None)
        assert not hook.wait(lambda: False, 0.01, lambda: None)


def test_one_that_never_started_ends_at_once() -> None:
    """As where what is started beside it fails first; its port is free again."""
    hook = Webhook()
    hook.stop()

    with socket.create_server(("127.0.0.1", int(hook.url("").split(":")[2].strip("/")))):
        pass
