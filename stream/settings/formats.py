"""How foreign records are read: by a mapping, by the schemas of a registry."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from stream.errors import SettingsInvalid
from stream.mapping.mappings import mappings_of
from stream.settings.bounds import SECRET

# Without a user: whoever reads the settings in force would read the password.
_REGISTRY_URL = re.compile(r"https?://[^\s/@?#,]+(/[^\s@?#,]*)?")


@dataclass(frozen=True, kw_only=True)
class FormatSettings:
    """The mapping, and how the schema registry is reached."""

    mapping: Mapping[str, object] = field(default_factory=dict)
    """Where the fields are of JSON that has a form of its own: tables `event` and
    `item`, of paths by the names of Freshet's fields; in the environment as JSON.
    """

    schema_registry_url: str = ""
    """Where the schema registry answers that framed the records, with Confluent's API,
    as https://HOST:PORT. Empty: there is none.
    """

    schema_registry_username: str = ""
    """User, or the key of a managed registry. Empty: it asks for none."""

    schema_registry_password: str = field(default="", repr=False, metadata=SECRET)
    """Password, or the secret of a managed registry; best from the environment."""

    schema_registry_password_file: str = ""
    """File with the password instead; a line end behind it does not count."""

    schema_registry_ca_location: str = ""
    """PEM file of certificates that the registry's is signed by. Empty: those of the
    usual authorities.
    """

    def _check_formats(self) -> None:
        mappings_of(self.mapping)
        self._check_registry()

    def _check_registry(self) -> None:
        url, prefix = self.schema_registry_url, "stream.schema_registry"
        others = ("username", "password", "password_file", "ca_location")
        given = [name for name in others if getattr(self, f"schema_registry_{name}")]
        if given and not url:
            raise SettingsInvalid(f"{prefix}_{given[0]} is set, but {prefix}_url is not")
        if url and not _REGISTRY_URL.fullmatch(url):
            raise SettingsInvalid(
                f"{prefix}_url must be http://HOST:PORT or https://HOST:PORT, with a path or "
                f"without, and with no password in it: that is {prefix}_password"
            )
        has_password = self.schema_registry_password or self.schema_registry_password_file
        if bool(has_password) != bool(self.schema_registry_username):
            raise SettingsInvalid(
                f"{prefix}_username goes with {prefix}_password or {prefix}_password_file"
            )
        if self.schema_registry_password and self.schema_registry_password_file:
            raise SettingsInvalid(f"{prefix}_password and {prefix}_password_file: keep one")
        if self.schema_registry_ca_location and not url.startswith("https:"):
            raise SettingsInvalid(f"{prefix}_ca_location is set, but {prefix}_url is not https://")
