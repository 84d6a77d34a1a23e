"""Asks a server for answers, and why each is one."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from freshet_client import (
    Access,
    ChannelAttention,
    ClientError,
    Explanation,
    Hit,
    Receipt,
    RetrievalClient,
)

Document = dict[str, Any]

# For an answer and the explanations of its hits together; each takes milliseconds.
# Twice as long: whoever waits for a server that is down waits twice as long.
_SECONDS = 5.0
NUM_HITS = 10  # a first page, as the default of a request
_MOST_PATHS = 5  # of a hit; more say the same with less weight


def search(target: str, query: str, num_hits: int = NUM_HITS) -> Document:
    """Return a server's answer to a query, each hit with the reasons for it.

    Args:
        target: HOST:PORT of the server.
        query: as typed.
        num_hits: how many hits.

    Raises:
        ClientError: the server gives no answer.
    """
    deadline = time.monotonic() + _SECONDS
    with RetrievalClient(
        target, timeout_seconds=_SECONDS, retry=None, access=Access.from_environment()
    ) as client:
        answer = client.retrieve(query, num_hits)
        hits = [_hit(client, query, hit, answer.receipt, deadline) for hit in answer.hits]
    return {
        "query": answer.normalized_query,
        "path": answer.path,
        "receipt": _receipt(answer.receipt),
        "hits": hits,
    }


def _hit(
    client: RetrievalClient, query: str, hit: Hit, receipt: Receipt, deadline: float
) -> Document:
    found: Document = {
        "item_id": hit.item_id,
        "title": hit.title,
        "score": hit.score,
        "why": None,
        "problem": "",
    }
    left = deadline - time.monotonic()
    if left <= 0:
        return found | {"problem": f"no explanation within {_SECONDS:g} s"}
    try:
        why = client.explain(query, hit.item_id, max_paths=_MOST_PATHS, timeout_seconds=left)
    except ClientError as error:  # such as an item that is deleted in between
        return found | {"problem": str(error)}
    return found | {"why": _why(why, receipt)}


def _why(why: Explanation, receipt: Receipt) -> Document:
    return {
        "item_source": why.item_source,
        "item_state": why.item_state,
        "item_age_seconds": _item_age(why, receipt),
        "channels": [_channel(each) for each in why.channels],
        "evidence": why.evidence,
        "paths": [asdict(path) for path in why.paths],
        "newer_clicks": [asdict(each) for each in why.newer_clicks],
        "item_newer_sessions": why.item_newer_sessions,
    }


def _item_age(why: Explanation, receipt: Receipt) -> float:
    """Return how old the item's vector was in the answer, at most: it has all that came
    until then.
    """
    if why.item_source == "overlay" and receipt.age_seconds is not None:
        return receipt.age_seconds
    return receipt.snapshot_age_seconds


def _channel(channel: ChannelAttention) -> Mapping[str, object]:
    return asdict(channel)


def _receipt(receipt: Receipt) -> Document:
    return asdict(receipt)
