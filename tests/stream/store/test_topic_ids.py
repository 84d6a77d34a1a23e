"""Topics that are not the ones that a shard has read."""

import logging
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from stream.errors import TopicRecreated
from stream.events.types import SourcePartition
from stream.metrics import StreamMetrics
from stream.settings import StreamSettings
from stream.store.store import Store
from testing.histories import apply_events, event
from tests.stream.conftest import OpenStore

CLICKS, VIEWS = SourcePartition("clicks", 0), SourcePartition("views", 0)


def filled(store: Store) -> Store:
    """Read something of two topics."""
    store.ownership.acquire(0, {"clicks": "a", "views": "v"})
    apply_events(store.shard(0), [event()], positions={CLICKS: 7, VIEWS: 3})
    return store


def test_positions_in_a_topic_that_was_made_again_are_forgotten(
    open_store: OpenStore, caplog: pytest.LogCaptureFixture
) -> None:
    """The other topic's stay, and so do the facts; the log names both ids."""
    store = filled(open_store())
    store.close()
    again = open_store()
    with caplog.at_level(logging.WARNING, "stream"):
        positions = again.ownership.acquire(0, {"clicks": "b", "views": "v"})

    assert positions == {VIEWS: 3}
    assert again.shard(0).topic_ids() == {"clicks": "b", "views": "v"}
    assert again.shard(0).state().num_facts == 1
    assert "topic=clicks shard=0 was=a now=b" in caplog.text
    assert again.ownership.acquire(0, {"clicks": "b"}) == {VIEWS: 3}


def test_topics_whose_id_is_not_known_are_believed(open_store: OpenStore) -> None:
    """So it is with brokers that give none, and with stores from before there were
    any.
    """
    store = open_store()
    apply_events(store.shard(0), [event()], positions={CLICKS: 7})

    assert store.ownership.acquire(0, {"clicks": ""}) == {CLICKS: 7}
    assert store.shard(0).topic_ids() == {}
    assert store.ownership.acquire(0, {"clicks": "a"}) == {CLICKS: 7}
    assert store.ownership.acquire(0, {"clicks": ""}) == {CLICKS: 7}
    assert store.shard(0).topic_ids() == {"clicks": "a"}


def test_a_stream_may_be_told_to_stop(open_store: OpenStore, settings: StreamSettings) -> None:
    """The error says what to do, nothing is forgotten, and its advice works."""
    filled(open_store()).close()
    strict = open_store(settings=replace(settings, on_topic_recreated="stop"))
    with pytest.raises(TopicRecreated, match=r"topic clicks is not .*on_topic_recreated"):
        strict.ownership.acquire(0, {"clicks": "b"})
    assert strict.shard(0).positions() == {CLICKS: 7, VIEWS: 3}
    strict.close()

    assert open_store().ownership.acquire(0, {"clicks": "b"}) == {VIEWS: 3}


def test_it_is_counted(open_store: OpenStore, settings: StreamSettings) -> None:
    """By topic, once however many shards find it."""
    store = filled(open_store())
    store.ownership.acquire(1, {"clicks": "a", "views": "v"})
    store.close()
    registry = CollectorRegistry()
    with Store.create_or_open(store.root, settings, metrics=StreamMetrics(registry)) as counted:
        counted.ownership.acquire(0, {"clicks": "b", "views": "v"})
        counted.ownership.acquire(1, {"clicks": "b", "views": "v"})

    name = "freshet_stream_topics_recreated_total"
    assert registry.get_sample_value(name, {"topic": "clicks"}) == 1
    assert registry.get_sample_value(name, {"topic": "views"}) is None
