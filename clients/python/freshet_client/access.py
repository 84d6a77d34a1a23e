"""How a client reaches a protected server: its token, what its connection trusts."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from freshet_client.errors import SettingsInvalid


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a server asks of its callers.

    Files are named, not read: a token file that changes is read again for the next
    call, so that a token can be rotated under a running client.

    Attributes:
        token_file: file with the token alone; empty: none.
        tls_ca: PEM file with what signed the server's certificate; empty: without TLS,
            unless `tls` is set.
        tls_cert: PEM file with the client's own certificate (mutual TLS); empty: none.
        tls_key: PEM file with its private key.
        server_name: name in the server's certificate, where that is not the one that
            is called; empty: it is.
        tls: use TLS, trusting what the system trusts where `tls_ca` is empty.
    """

    token_file: str = ""
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    server_name: str = ""
    tls: bool = False
    _token: dict[str, tuple[int, str]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Access":
        """Return what ``FRESHET_CLIENT_TOKEN_FILE``, ``_TLS_CA``, ``_TLS_CERT``,
        ``_TLS_KEY`` and ``_SERVER_NAME`` say, each of them or none.
        """

        def named(name: str) -> str:
            return environment.get(f"FRESHET_CLIENT_{name}", "")

        return cls(
            token_file=named("TOKEN_FILE"),
            tls_ca=named("TLS_CA"),
            tls_cert=named("TLS_CERT"),
            tls_key=named("TLS_KEY"),
            server_name=named("SERVER_NAME"),
        )

    def channel(self, target: str, options: Sequence[tuple[str, int | str]]) -> grpc.Channel:
        """Return a channel to a server.

        Raises:
            SettingsInvalid: a file cannot be read, or is no PEM, or a certificate has
                no key.
        """
        if not (self.tls or self.tls_ca or self.tls_cert):
            return grpc.insecure_channel(target, options=options)
        if bool(self.tls_cert) != bool(self.tls_key):
            raise SettingsInvalid("tls_cert and tls_key go together; give both or neither")
        credentials = grpc.ssl_channel_credentials(
            *(_pem(path) if path else None for path in (self.tls_ca, self.tls_key, self.tls_cert))
        )
        if self.server_name:
            options = (*options, ("grpc.ssl_target_name_override", self.server_name))
        return grpc.secure_channel(target, credentials, options=options)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Return what each call carries beside its message.

        Raises:
            SettingsInvalid: the token file cannot be read, or holds something else than
                a token.
        """
        if not self.token_file:
            return ()
        return (("authorization", f"Bearer {self._current_token()}"),)

    def _current_token(self) -> str:
        try:
            stamp = Path(self.token_file).stat().st_mtime_ns
        except OSError as error:
            raise SettingsInvalid(f"the token file {self.token_file}: {error.strerror}") from error
        read_at, token = self._token.get("", (0, ""))
        if read_at != stamp:
            token = _read(self.token_file).decode("utf-8-sig", "replace").strip()
            if not _TOKEN.fullmatch(token):  # and shows nothing of it
                raise SettingsInvalid(
                    f"the token file {self.token_file} must hold one token and nothing else, as "
                    "`freshet token NAME` prints it"
                )
            self._token[""] = (stamp, token)
        return token


# What a header can carry, without white space: a token may be made elsewhere, too.
_TOKEN = re.compile(r"[!-~]+")

NO_ACCESS = Access()
"""Of a server that asks nothing: without TLS, without a token."""


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise SettingsInvalid(f"{path} cannot be read: {error.strerror}") from error


def _pem(path: str) -> bytes:
    content = _read(path)
    if b"-----BEGIN " not in content:
        raise SettingsInvalid(f"{path} is no PEM file")
    return content
