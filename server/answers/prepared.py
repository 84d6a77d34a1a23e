"""Lets methods answer with bytes as well as with messages."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import grpc

NO_READERS: Final[Mapping[str, Callable[[bytes], Any]]] = MappingProxyType({})


class PreparedAnswers:
    """A gRPC server as the generated code sees it, which adds methods to it.

    Args:
        server: what they are added to.
        readers: of the methods by name that read their requests in a way of their own.
    """

    def __init__(
        self, server: grpc.Server, readers: Mapping[str, Callable[[bytes], Any]] = NO_READERS
    ) -> None:
        self._server = server
        self._readers = readers

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Add nothing: the same methods come by name."""

    def add_registered_method_handlers(
        self, service: str, handlers: Mapping[str, "grpc.RpcMethodHandler[Any, Any]"]
    ) -> None:
        """Add the methods of a service, by name: each answers one message with one."""
        made = {
            name: grpc.unary_unary_rpc_method_handler(
                handler.unary_unary,  # type: ignore[arg-type]  # it is there
                self._readers.get(name, handler.request_deserializer),
                _or_as_it_is(handler.response_serializer),
            )
            for name, handler in handlers.items()
        }
        generic = grpc.method_handlers_generic_handler(service, made)
        self._server.add_generic_rpc_handlers((generic,))
        self._server.add_registered_method_handlers(service, made)


def _or_as_it_is(write: Callable[[Any], bytes] | None) -> Callable[[Any], bytes]:
    def written(answer: Any) -> bytes:
        if isinstance(answer, bytes):
            return answer
        return answer if write is None else write(answer)

    return written
