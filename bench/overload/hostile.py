"""Ten clients that mean harm, in a process of their own: ``python -m
bench.overload.hostile HOST:PORT`` until standard input closes.
"""

import asyncio
import contextlib
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from protos import retrieval_v1_pb2 as retrieval_pb
from server.service import SERVICE_NAME

_RETRIEVE = f"/{SERVICE_NAME}/Retrieve"
_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04\x00" + bytes(4)
# What each of them holds or sends, chosen by hand: more than a client by mistake, less
# than would fill the machine's own network.
_HALF_OPEN_CALLS, _HUGE_BYTES, _IDLE_CONNECTIONS = 1000, 10_000_000, 400
_PAUSE_SECONDS = 0.05


async def half_open(address: str) -> None:
    """Hold calls whose message never comes, and open them again as they end."""

    async def silent() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    async with _channel(address) as channel:
        call: Any = channel.stream_unary(_RETRIEVE)

        async def hold() -> None:
            while True:
                with contextlib.suppress(grpc.aio.AioRpcError):
                    await call(silent())
                await asyncio.sleep(_PAUSE_SECONDS)

        await asyncio.gather(*(hold() for _ in range(_HALF_OPEN_CALLS)))


async def slow(address: str) -> None:
    """Hold connections that say a byte now and then."""
    host, _, port = address.rpartition(":")

    async def trickle() -> None:
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(host, int(port))
                for byte in _HTTP2_PREFACE:
                    writer.write(bytes([byte]))
                    await writer.drain()
                    await asyncio.sleep(1.0)
                writer.close()

    await asyncio.gather(*(trickle() for _ in range(_IDLE_CONNECTIONS)))


async def huge(address: str) -> None:
    """Send messages that are far too large."""
    message = retrieval_pb.RetrieveRequest(query="x" * _HUGE_BYTES).SerializeToString()
    async with _channel(address) as channel:
        call: Any = channel.unary_unary(_RETRIEVE)
        await _again(lambda: call(message, timeout=5))


async def garbage(address: str) -> None:
    """Send messages that are none, and bytes that are no HTTP/2."""
    host, _, port = address.rpartition(":")

    async def bytes_alone() -> None:
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(secrets.token_bytes(512))
        writer.close()

    async with _channel(address) as channel:
        call: Any = channel.unary_unary(_RETRIEVE)
        await asyncio.gather(
            _again(lambda: call(b"\xff" + secrets.token_bytes(64), timeout=5)), _again(bytes_alone)
        )


async def storm(address: str) -> None:
    """Open connections and leave them."""
    host, _, port = address.rpartition(":")

    async def open_some() -> None:
        opened = await asyncio.gather(
            *(asyncio.open_connection(host, int(port)) for _ in range(20)), return_exceptions=True
        )
        for each in opened:
            if not isinstance(each, BaseException):
                each[1].close()

    await _again(open_some)


ATTACKS: tuple[Callable[[str], Awaitable[None]], ...] = (half_open, slow, huge, garbage, storm)
"""Each is made by two clients."""


def _channel(address: str) -> grpc.aio.Channel:
    apart = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1))
    return grpc.aio.insecure_channel(address, options=apart)


async def _again(attack: Callable[[], Awaitable[object]]) -> None:
    while True:
        with contextlib.suppress(grpc.aio.AioRpcError, OSError):
            await attack()
        await asyncio.sleep(_PAUSE_SECONDS)


async def _until_input_closes() -> None:
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def main(address: str) -> None:
    """Run every attack twice until standard input closes."""
    attacks = [asyncio.ensure_future(attack(address)) for attack in ATTACKS for _ in range(2)]
    await _until_input_closes()
    for attack in attacks:
        attack.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
