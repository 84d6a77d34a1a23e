"""How a protected Kafka is reached: TLS, a user and a password, or tokens."""

from dataclasses import dataclass, field, fields

from stream.errors import SettingsInvalid
from stream.settings.bounds import SECRET, check_choice

SECURITY_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
SASL_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")
TOKEN_SCHEMES = ("https", "http", "file")
HOSTNAME_CHECKS = ("https", "none")


@dataclass(frozen=True, kw_only=True)
class AccessSettings:
    """What Kafka's own clients call security, by the same names."""

    security_protocol: str = "PLAINTEXT"
    """How the broker is spoken to: PLAINTEXT, SSL, SASL_PLAINTEXT (a password in the
    clear) or SASL_SSL. This and the next keys are named as in Kafka, and count for all
    that Freshet does there.
    """

    sasl_mechanism: str = ""
    """How the user is proven: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, or OAUTHBEARER with
    tokens.
    """

    sasl_username: str = ""
    """User, or the key of a managed Kafka."""

    sasl_password: str = field(default="", repr=False, metadata=SECRET)
    """Password, or the secret of a managed Kafka; best from the environment."""

    sasl_password_file: str = ""
    """File with the password instead; a line end behind it does not count."""

    sasl_oauthbearer_token_endpoint_url: str = ""
    """Where tokens for OAUTHBEARER come from: the token endpoint of an OpenID
    provider, asked with client credentials, or file:///PATH of a token that something
    else renews.
    """

    sasl_oauthbearer_client_id: str = ""
    """This client, as the OpenID provider knows it."""

    sasl_oauthbearer_client_secret: str = field(default="", repr=False, metadata=SECRET)
    """Its secret; best from the environment."""

    sasl_oauthbearer_client_secret_file: str = ""
    """File with the secret instead; a line end behind it does not count."""

    sasl_oauthbearer_scope: str = ""
    """Scope to ask the OpenID provider for."""

    sasl_oauthbearer_extensions: str = ""
    """What is told to the broker beside the token: name=value, several with commas.

    For Confluent Cloud logicalCluster and identityPoolId.
    """

    https_ca_location: str = ""
    """PEM file of certificates that the OpenID provider's is signed by. Empty: those
    that the system trusts.
    """

    ssl_ca_location: str = ""
    """PEM file of certificates that the broker's is signed by. Empty: those that the
    system trusts.
    """

    ssl_certificate_location: str = ""
    """PEM file of this client's own certificate, where the broker wants one."""

    ssl_key_location: str = ""
    """PEM file of its private key. Empty: the key is in the certificate's file."""

    ssl_key_password: str = field(default="", repr=False, metadata=SECRET)
    """Password of the private key, if it has one; best from the environment."""

    ssl_endpoint_identification_algorithm: str = "https"
    """https: the broker's certificate must name its host. none: any that is trusted."""

    @property
    def uses_sasl(self) -> bool:
        """Whether the broker wants a user and a password, or a token."""
        return self.security_protocol.startswith("SASL_")

    @property
    def uses_tokens(self) -> bool:
        """Whether the broker wants a token."""
        return self.uses_sasl and self.sasl_mechanism == "OAUTHBEARER"

    @property
    def uses_tls(self) -> bool:
        """Whether what goes to the broker and back is encrypted."""
        return self.security_protocol.endswith("SSL")

    def _check_access(self) -> None:
        """Check what Kafka's own clients find out late, or not at all."""
        check_choice("security_protocol", self.security_protocol, SECURITY_PROTOCOLS)
        check_choice(
            "ssl_endpoint_identification_algorithm",
            self.ssl_endpoint_identification_algorithm,
            HOSTNAME_CHECKS,
        )
        if self.uses_sasl:
            check_choice("sasl_mechanism", self.sasl_mechanism, SASL_MECHANISMS)
            self._check_tokens() if self.uses_tokens else self._check_password()
        self._check_unused("sasl_", "SASL_SSL", is_used=self.uses_sasl)
        self._check_unused("https_", "SASL_SSL", is_used=self.uses_sasl)
        self._check_unused("ssl_", "SSL or SASL_SSL", is_used=self.uses_tls)
        has_key = self.ssl_key_location or self.ssl_key_password
        if has_key and not self.ssl_certificate_location:
            raise SettingsInvalid(
                "a private key is set without stream.ssl_certificate_location; name the "
                "certificate that it belongs to"
            )

    def _check_password(self) -> None:
        for name in self._names_set("sasl_oauthbearer_", "https_ca_location"):
            raise SettingsInvalid(
                f"stream.{name} is set, but stream.sasl_mechanism is {self.sasl_mechanism}, "
                "which has no use for it; set that to OAUTHBEARER"
            )
        if not self.sasl_username or not (self.sasl_password or self.sasl_password_file):
            raise SettingsInvalid(
                f"stream.security_protocol is {self.security_protocol}, which needs "
                "stream.sasl_username and stream.sasl_password or stream.sasl_password_file"
            )
        if self.sasl_password and self.sasl_password_file:
            raise SettingsInvalid(
                "stream.sasl_password and stream.sasl_password_file are both set; keep one"
            )

    def _check_tokens(self) -> None:
        for name in self._names_set("sasl_username", "sasl_password"):
            raise SettingsInvalid(
                f"stream.{name} is set, but stream.sasl_mechanism is OAUTHBEARER, which has no "
                "use for it; remove it, or name another mechanism"
            )
        url = self.sasl_oauthbearer_token_endpoint_url
        scheme, _, rest = url.partition("://")
        if scheme not in TOKEN_SCHEMES or not rest or not rest.isprintable() or " " in rest:
            raise SettingsInvalid(
                f"stream.sasl_oauthbearer_token_endpoint_url is {url!r}; OAUTHBEARER needs "
                "https://HOST/PATH of an OpenID provider's token endpoint, or file:///PATH of a "
                "token"
            )
        secrets = [self.sasl_oauthbearer_client_secret, self.sasl_oauthbearer_client_secret_file]
        if all(secrets):
            raise SettingsInvalid(
                "stream.sasl_oauthbearer_client_secret and "
                "stream.sasl_oauthbearer_client_secret_file are both set; keep one"
            )
        if scheme != "file" and not (self.sasl_oauthbearer_client_id and any(secrets)):
            raise SettingsInvalid(
                f"stream.sasl_oauthbearer_token_endpoint_url is {url}, which needs "
                "stream.sasl_oauthbearer_client_id and stream.sasl_oauthbearer_client_secret or "
                "stream.sasl_oauthbearer_client_secret_file"
            )
        for pair in filter(None, self.sasl_oauthbearer_extensions.split(",")):
            name, _, value = pair.partition("=")
            if not name.strip().isalpha() or not value.isprintable() or name.strip() == "auth":
                raise SettingsInvalid(
                    f"stream.sasl_oauthbearer_extensions has {pair!r}; it must be name=value with "
                    "a name of letters, several with commas"
                )

    def _check_unused(self, prefix: str, better: str, *, is_used: bool) -> None:
        for each in fields(self):
            name, value = each.name, getattr(self, each.name)
            if name.startswith(prefix) and value != each.default and not is_used:
                raise SettingsInvalid(
                    f"stream.{name} is set, but stream.security_protocol is "
                    f"{self.security_protocol}, which has no use for it; set that to {better}"
                )

    def _names_set(self, *prefixes: str) -> list[str]:
        """Return the keys with these beginnings that have not their default."""
        return [
            each.name
            for each in fields(self)
            if each.name.startswith(prefixes) and getattr(self, each.name) != each.default
        ]
