"""Listeners of the local broker that want TLS, passwords or both: for tests and
measurements.

Certificates are made anew each time, by openssl.
"""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

USER = "shop"
PASSWORD = "a word of its own"  # noqa: S105  # of a broker that lives as long as a test
"""Of the user, for every mechanism."""

SCOPE = "kafka"
"""What a token must be for."""

_SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")
_PACKAGE = "org.apache.kafka.common.security"


@dataclass(frozen=True, kw_only=True)
class SecuredListeners:
    """What a broker needs to listen for more than plaintext.

    Attributes:
        protocols: the protocol of each listener, by its name.
        config: lines for the broker's configuration.
        format_arguments: for the formatting of its storage, which makes the users.
        ca: the certificate that the broker's is trusted by.
        client_certificate: one that the listener MUTUAL trusts.
        client_key: the key of that.
        other_ca: a certificate that has nothing to do with the broker.
    """

    protocols: Mapping[str, str]
    config: str
    format_arguments: tuple[str, ...]
    ca: Path
    client_certificate: Path
    client_key: Path
    other_ca: Path

    def access(self, protocol: str) -> dict[str, str]:
        """Return the stream's settings, by name, that reach a listener of a protocol
        that asks no certificate of its client; passwords go by SCRAM-SHA-256.
        """
        access = {"security_protocol": protocol}
        if protocol.endswith("SSL"):
            access["ssl_ca_location"] = str(self.ca)
        if protocol.startswith("SASL"):
            access |= {"sasl_mechanism": _SCRAM[0], "sasl_username": USER}
            access["sasl_password"] = PASSWORD
        return access


def secured_listeners(folder: Path) -> SecuredListeners:
    """Make certificates in a folder, and describe listeners for every protocol.

    TLS, MUTUAL (which wants a certificate of the client), PASSWORD (in plain text),
    BOTH (a password over TLS) and TOKEN (one that nobody signed, in plain text).

    Raises:
        subprocess.CalledProcessError: openssl failed.
        FileNotFoundError: openssl is not on this machine.
    """
    ca, key = _certificate(folder, "broker")
    client_certificate, client_key = _certificate(folder, "client")
    other_ca, _ = _certificate(folder, "other")
    keystore = folder / "keystore.pem"
    keystore.write_text(key.read_text("ascii") + ca.read_text("ascii"), "ascii")
    plain = f'{_PACKAGE}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
    lines = [
        "ssl.keystore.type=PEM",
        f"ssl.keystore.location={keystore}",
        "ssl.truststore.type=PEM",
        f"ssl.truststore.location={client_certificate}",
        "listener.name.mutual.ssl.client.auth=required",
        f"sasl.enabled.mechanisms=PLAIN,{','.join(_SCRAM)}",
    ]
    for listener in ("password", "both"):
        prefix = f"listener.name.{listener}"
        lines.append(f"{prefix}.plain.sasl.jaas.config={plain}")
        lines += [
            f"{prefix}.{mechanism.lower()}.sasl.jaas.config="
            f"{_PACKAGE}.scram.ScramLoginModule required;"
            for mechanism in _SCRAM
        ]
    lines.append("listener.name.token.sasl.enabled.mechanisms=OAUTHBEARER")
    lines.append(
        "listener.name.token.oauthbearer.sasl.jaas.config="
        f"{_PACKAGE}.oauthbearer.OAuthBearerLoginModule required "
        'unsecuredLoginStringClaim_sub="broker" '
        f'unsecuredValidatorRequiredScope="{SCOPE}";'
    )
    return SecuredListeners(
        protocols={
            "TLS": "SSL",
            "MUTUAL": "SSL",
            "PASSWORD": "SASL_PLAINTEXT",
            "BOTH": "SASL_SSL",
            "TOKEN": "SASL_PLAINTEXT",
        },
        config="\n".join(lines) + "\n",
        format_arguments=tuple(
            f'--add-scram={mechanism}=[name="{USER}",password="{PASSWORD}"]' for mechanism in _SCRAM
        ),
        ca=ca,
        client_certificate=client_certificate,
        client_key=client_key,
        other_ca=other_ca,
    )


def _certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a certificate that signs itself, for this machine, and its key."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key
