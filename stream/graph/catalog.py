"""Pure: which of several states of a catalogue item counts."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from stream.events.types import CatalogItem


def newest(stored: CatalogItem, arriving: CatalogItem) -> CatalogItem:
    """Return the state that counts once another one has arrived.

    The one with the later event time, whatever the order of arrival. Of two with the
    same time a deletion counts, else the one whose fields, in order, compare greater.
    One without a time (0) is older than any with a time; only between two without one
    does the order of arrival count, and the later one is taken.

    So it does for a deletion without a time, such as a Kafka record without a value: it
    deletes what it finds, as of the millisecond before. What is older does not list the
    item again; the state itself and newer ones do when they come after it, so that a
    log may be read again from any place.

    Args:
        stored: the state that counted so far.
        arriving: another state of the same item.
    """
    if not stored.ts_ms and not arriving.ts_ms:
        return arriving
    if arriving.deleted and not arriving.ts_ms:
        return stored if stored.deleted else replace(arriving, ts_ms=stored.ts_ms - 1)
    return arriving if _rank(arriving) > _rank(stored) else stored


def is_older(stored: CatalogItem, arriving: CatalogItem) -> bool:
    """Return whether a state changes nothing because one with a later time counts.

    Not of a deletion of what is deleted: nothing is missed.

    Args:
        stored: the state that counted so far.
        arriving: another state of the same item.
    """
    return arriving.ts_ms < stored.ts_ms and not (
        arriving.deleted and (stored.deleted or not arriving.ts_ms)
    )


def newest_over_shards(states: Iterable[CatalogItem]) -> CatalogItem:
    """Return the state that counts of those that several shards hold of one item.

    As `newest`, but where none has a time the first shard's counts: nothing tells which
    of them arrived last.

    Args:
        states: at least one, in the order of the shards.
    """
    return max(states, key=lambda state: _rank(state) if state.ts_ms else ())


def _rank(state: CatalogItem) -> tuple[Any, ...]:
    """Return what states are compared by; equal only where all that is stored is."""
    attributes = tuple(state.attributes.items())
    return state.ts_ms, state.deleted, state.title, state.text, attributes, state.available
