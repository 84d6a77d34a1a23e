"""The errors of the server, each with what the operator should do.

::

    ServerError
    ├── SettingsInvalid    a setting is out of range (correct it)
    ├── ArtifactsMissing   the artifacts folder is no folder (give the right one)
    ├── ListenFailed       the address cannot be listened on (choose another)
    │   └── PortBusy       something listens there already (retriable once it stopped)
    ├── CanaryFailed       a generation answers canaries wrongly (train again)
    ├── GenerationShrunk   a generation lacks most items of the live one (see why)
    ├── LoadStuck          a generation does not load in time (retriable: it may yet)
    ├── NoGeneration       nothing is live yet (retriable: it becomes live by itself)
    ├── NotFreshEnough     an answer is older than wanted (retriable: it gets fresher)
    ├── ItemUnknown        a request names an item that is not there (name another)
    ├── NoAttributes       a generation has nothing to filter by (train again)
    └── QueryRefused       a request is outside the limits (change the request)

Only those marked so are retriable.
"""


class ServerError(Exception):
    """An expected error of the server package.

    The message says what, where and what to do.

    Attributes:
        retriable: whether the same may succeed later.
        status: name of the gRPC status that a request which raises it ends with.
            INTERNAL: the client learns only which line of the log has the error.
    """

    retriable = False
    status = "INTERNAL"


class SettingsInvalid(ServerError):
    """A setting has a value that cannot work."""


class ArtifactsMissing(ServerError):
    """There is something else where the artifacts folder should be."""


class ListenFailed(ServerError):
    """The server cannot listen on its address."""


class PortBusy(ListenFailed):
    """Something else listens on the address."""

    retriable = True


class CanaryFailed(ServerError):
    """A generation is intact, but its answers do not match its vectors."""


class GenerationShrunk(ServerError):
    """A generation has far fewer items than the live one."""


class LoadStuck(ServerError):
    """A generation takes longer to load than it may."""

    retriable = True


class NoGeneration(ServerError):
    """There is no live generation to answer from."""

    retriable = True
    status = "UNAVAILABLE"


class NotFreshEnough(ServerError):
    """An answer would not be as fresh as the request wants.

    Attributes:
        reflected_ms: what the freshest answer reflects now, UTC epoch milliseconds; 0:
            not known.
    """

    retriable = True
    status = "FAILED_PRECONDITION"

    def __init__(self, message: str, reflected_ms: int = 0) -> None:
        super().__init__(message)
        self.reflected_ms = reflected_ms


class ItemUnknown(ServerError):
    """A request is about an item that neither generation nor overlay has."""

    status = "NOT_FOUND"


class NoAttributes(ServerError):
    """A filter asks for attributes, and the live generation is from before they were
    stored.
    """

    status = "FAILED_PRECONDITION"


class QueryRefused(ServerError):
    """A request is outside the limits of the contract.

    Attributes:
        request_field: the field that is, as the contract names it; empty: none by
            itself.
    """

    status = "INVALID_ARGUMENT"

    def __init__(self, message: str, *, request_field: str = "") -> None:
        super().__init__(message)
        self.request_field = request_field


class WorkerFailed(ServerError):
    """A process that answers could not do what the one that looks after it asked."""

    retriable = True
