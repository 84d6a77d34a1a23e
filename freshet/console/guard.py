"""Who may ask the console: the hosts that it answers to, and tokens."""

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from freshet.process import CommandError
from server.errors import SettingsInvalid
from server.listening.addresses import split_address
from server.security.tokens import TokenFile

_BEARER = "bearer "


@dataclass(frozen=True, kw_only=True)
class Guard:
    """Decides by its headers whether a request is answered.

    Attributes:
        hosts: names that a Host header may have, in lower case, besides addresses.
        tokens: that let a caller in; None: everybody is.
    """

    hosts: Collection[str]
    tokens: TokenFile | None = field(repr=False)

    def is_host(self, header: str) -> bool:
        """Whether a Host header is one of this console's.

        A page of another site that has its name resolve to this machine (DNS
        rebinding) comes with that name. An address is no name, so it is always good.
        """
        host = header.strip().lower()
        if not host.endswith("]"):
            before, colon, port = host.rpartition(":")
            host = before if colon and port.isdigit() else host
        if host.rstrip(".") in self.hosts:
            return True
        return _is_address(host.removeprefix("[").removesuffix("]"))

    def is_let_in(self, authorization: str) -> bool:
        """Whether an Authorization header has a token that is good, or none is
        needed.
        """
        if self.tokens is None:
            return True
        if not authorization.lower().startswith(_BEARER):
            return False
        return bool(self.tokens.verdict(authorization[len(_BEARER) :].strip()).name)


def guard_of(listen: str, names: Collection[str], tokens: Path | None) -> Guard:
    """Return what guards a console.

    Args:
        listen: HOST:PORT.
        names: that it is reached by, besides.
        tokens: file of tokens; None: none are asked for.

    Raises:
        CommandError: it would listen beyond loopback without tokens.
        SettingsInvalid: the file of tokens cannot be used.
    """
    host, _ = split_address(listen)
    if tokens is None and not _is_loopback(host):
        raise CommandError(
            f"a console at {listen} can be read by other machines; give --tokens FILE with lines "
            "of `freshet token NAME`, or listen on 127.0.0.1 and reach it through an SSH tunnel"
        )
    try:
        read = None if tokens is None else TokenFile(tokens)
    except SettingsInvalid as error:
        raise CommandError(str(error).replace("server.tokens", "--tokens")) from error
    own = () if _is_address(host) else (host,)
    return Guard(
        hosts={name.lower().rstrip(".") for name in ("localhost", *own, *names)}, tokens=read
    )


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
