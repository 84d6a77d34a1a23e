"""Requests for nothing but a text: read and checked in C where the optional library
`freshet_native` is installed, in place of a message and some forty steps.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from protos import retrieval_v1_pb2 as retrieval_pb
from server.retrieve import RetrievalQuery
from server.settings import ServerSettings

IS_NATIVE: Final = find_spec("freshet_native") is not None
"""Whether any request is read in C."""

if IS_NATIVE or TYPE_CHECKING:
    import freshet_native


class RequestReader:
    """Reads requests of `Retrieve`: plain ones to valid queries, others to messages.

    Args:
        settings: limits of requests; what is outside of them is a message, too.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._most_chars = settings.max_query_chars
        self._max_k = settings.max_k
        self._default_k = settings.default_k

    def __call__(self, message: bytes) -> RetrievalQuery | retrieval_pb.RetrieveRequest:
        """Return what a request asks for.

        Raises:
            google.protobuf.message.DecodeError: it is none.
        """
        found = freshet_native.plain_request(message) if IS_NATIVE else None
        if found is not None:
            text, k = found
            if len(text) <= self._most_chars and k <= self._max_k:
                return RetrievalQuery(text, k or self._default_k)
        return retrieval_pb.RetrieveRequest.FromString(message)
