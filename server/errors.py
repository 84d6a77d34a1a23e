"""Errors of the server room.

ServerError
├── SettingsInvalid      a setting is out of range (not retriable: correct it)
├── ArtifactsMissing     the artifacts folder is not there (not retriable: give the right one)
├── ListenFailed         the address cannot be listened on (not retriable: choose another)
│   └── PortBusy         because something listens there already (retriable once that has stopped)
├── CanaryFailed         a generation answers canary queries wrongly (not retriable: roll back, train again)
├── NoGeneration         nothing is live yet (retriable: it becomes live by itself)
├── QueryRefused         a request is outside the limits (not retriable: change the request)
├── ServerUnreachable    no server answers at the target (retriable: start it, or give the right target)
└── CallFailed           the server answered with an error of its own (not retriable: look at its log)
"""


class ServerError(Exception):
    """Anything the server room reports on purpose; the message says what, where and what to do."""

    retriable = False


class SettingsInvalid(ServerError):
    """A setting has a value that cannot work."""


class ArtifactsMissing(ServerError):
    """The artifacts folder does not exist, or is not a folder."""


class ListenFailed(ServerError):
    """The server cannot listen on its address."""


class PortBusy(ListenFailed):
    """Something else listens on the address."""

    retriable = True


class CanaryFailed(ServerError):
    """A generation is intact, but what it answers is not what its vectors say."""


class NoGeneration(ServerError):
    """There is no live generation to answer from."""

    retriable = True


class QueryRefused(ServerError):
    """A request is outside the limits of the contract."""


class ServerUnreachable(ServerError):
    """Nothing answered at the target, or not in time."""

    retriable = True


class CallFailed(ServerError):
    """The server, or something between it and us, failed the call."""
