"""The methods that the JSON door answers: what gRPC answers, by the same functions."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from protos import retrieval_v1_pb2 as retrieval_pb
from server.calls.context import Aborted, MethodContext
from server.calls.door import Door
from server.http.call import HttpCall
from server.http.codec import read_json, write_json
from server.metrics.calls import Refused

_SERVICE = retrieval_pb.DESCRIPTOR.services_by_name["RetrievalService"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """How one method is answered, over gRPC and over HTTP.

    Attributes:
        name: of the method.
        door: where its calls are let in.
        size_of: how many calls a request counts as; None: as one.
    """

    name: str
    door: Door
    size_of: Callable[[Any], int] | None = None


class Method:
    """Answers the calls of one method.

    Args:
        route: where they are let in.
        function: of the service.
    """

    def __init__(self, route: Route, function: Callable[[Any, Any], Any]) -> None:
        self.name = route.name
        self.door = route.door
        self._size_of = route.size_of
        self._function = function
        self._request = request_type(route.name)
        self._response: type[Message] = GetMessageClass(
            _SERVICE.methods_by_name[route.name].output_type
        )

    def answer(self, call: HttpCall, body: bytes) -> None:
        """Answer a call that was let in, in the thread that its door gives it."""
        request = self._request()
        failure = read_json(body, request)
        if failure is not None:
            self.door.count_refused(Refused.MALFORMED)
            call.refuse(failure)
            return
        if self._size_of is not None:
            self.door.charge(call, self._size_of(request))
        try:
            response = self._function(request, MethodContext(call))
        except Aborted:
            return
        if isinstance(response, bytes):  # as gRPC sends it
            response = self._response.FromString(response)
        call.answer(write_json(response, has_all_fields=not _has_mask(request)))


def _has_mask(request: Message) -> bool:
    """Whether a request, or one of a batch, says which fields it wants: others are then
    not there.
    """
    return any(
        field.name == "field_mask" or (field.name == "requests" and any(map(_has_mask, value)))
        for field, value in request.ListFields()
    )


def methods_by_path(routes: Iterable[Route], service: object) -> Mapping[str, Method]:
    """Return the methods by the path that they are called at."""
    return {path_of(route.name): Method(route, getattr(service, route.name)) for route in routes}


def path_of(method: str) -> str:
    """Return the path that a method of the service is called at."""
    return f"/{_SERVICE.full_name}/{method}"


def request_type(method: str) -> type[Message]:
    """Return the type of the messages that a method of the service is asked with."""
    found: type[Message] = GetMessageClass(_SERVICE.methods_by_name[method].input_type)
    return found
