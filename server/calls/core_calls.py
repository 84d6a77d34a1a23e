"""How many calls gRPC has got and not handed on: those that it shed by itself."""

import json
import math
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Protocol

from server.calls.grpc_call import channelz_servers


class Taker(Protocol):
    """Who is handed calls by gRPC.

    Attributes:
        num_taken: how many.
    """

    num_taken: int


def server_ids() -> frozenset[int]:
    """Return the numbers that gRPC gave to the servers of this process."""
    return frozenset(int(each["ref"]["serverId"]) for each in _servers())


def unseen_calls(ids: Collection[int], takers: Sequence[Taker]) -> float:
    """Return how many calls some servers have got and nobody was handed: shed, or on
    their way; NaN: the servers are no more.

    Args:
        ids: their numbers, of `server_ids`.
        takers: whom they hand calls to.
    """
    # What was taken is read first: a call that comes meanwhile is on its way.
    taken = sum(taker.num_taken for taker in takers)
    return _started_calls(ids) - taken


def _started_calls(ids: Collection[int]) -> float:
    found = [each for each in _servers() if int(each["ref"]["serverId"]) in ids]
    if not found:
        return math.nan
    return float(sum(int(each.get("data", {}).get("callsStarted", 0)) for each in found))


def _servers() -> Iterator[Any]:
    """Yield what gRPC's channelz says of each server of this process."""
    next_id, is_over = 0, False
    while not is_over:
        page = json.loads(channelz_servers(next_id))
        servers = page.get("server", [])
        yield from servers
        is_over = bool(page.get("end")) or not servers
        next_id = int(servers[-1]["ref"]["serverId"]) + 1 if servers else 0
