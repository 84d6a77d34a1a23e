"""Asks a schema registry over HTTP, by confluent-kafka's client."""

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from stream.errors import RegistryUnavailable, SettingsInvalid
from stream.settings import StreamSettings

# Seconds for one answer: a registry has schemas in memory. Twice as many leave the
# stream away from its consumer group for as long, where nothing answers.
_TIMEOUT_SECONDS = 5.0
_NOT_FOUND = 404
# The registry's own codes: 40401 a subject, 40402 a version, 40403 a schema.
_UNKNOWN = (40401, 40402, 40403)
# What says nothing of the schema: who may read, and what a gateway answers for it.
_NOT_ITS_OWN = (401, 403, 429, 502, 503, 504)

logger = logging.getLogger(__name__)


class SchemaUnknown(Exception):
    """The registry answers that it has no such schema."""


class NoDescriptor(Exception):
    """The registry answers, and does not give a Protobuf schema as its descriptor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Another schema that a schema needs, by its name there and in the registry."""

    name: str
    subject: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredSchema:
    """What a registry has under an id.

    Attributes:
        kind: ``AVRO``, ``JSON``, ``PROTOBUF``, or what it has else.
        text: the schema; of Protobuf the descriptor of its file in Base64, where that
            is what was registered or asked for.
        references: what it needs.
    """

    kind: str
    text: str
    references: tuple[Reference, ...] = ()


class RegistryClient:
    """Gets schemas.

    It asks each time, by a connection of its own, for that is rare; and waits for an
    answer some seconds at most.
    """

    def __init__(self, settings: StreamSettings) -> None:
        self._url = settings.schema_registry_url
        options: dict[str, Any] = {
            "url": self._url,
            "timeout": _TIMEOUT_SECONDS,
            "max.retries": 0,  # whoever asks tries again, as a member of its group
            "cache.capacity": 1,  # what is read is kept as what reads it
        }
        if settings.schema_registry_username:
            password = _password(settings)
            options["basic.auth.user.info"] = f"{settings.schema_registry_username}:{password}"
        if settings.schema_registry_ca_location:
            _check_certificates(settings.schema_registry_ca_location)
            options["ssl.ca.location"] = settings.schema_registry_ca_location
        # The library logs each request, with its address, at INFO.
        logging.getLogger("httpx2").setLevel(logging.WARNING)
        self._options = options

    def schema(self, schema_id: int, *, described: bool = False) -> RegisteredSchema:
        """Return a schema by its id.

        Args:
            schema_id: of a frame.
            described: as its descriptor, for Protobuf that was registered as a text.
                Only then: asked so for Avro, Apicurio's registry refuses.

        Raises:
            SchemaUnknown: there is none.
            NoDescriptor: the registry answers, but not as was asked.
            RegistryUnavailable: the registry does not answer, or not as one.
        """
        return _of_client(self._answer("get_schema", schema_id, **_format(described=described)))

    def referenced(self, reference: Reference, *, described: bool = False) -> RegisteredSchema:
        """Return a schema that another one needs; it raises as `schema` does."""
        found = self._answer(
            "get_version",
            reference.subject,
            reference.version,
            deleted=True,
            **_format(described=described),
        )
        return _of_client(found.schema)

    def _answer(self, method: str, *arguments: Any, **options: Any) -> Any:
        try:
            with SchemaRegistryClient(self._options) as client:
                return getattr(client, method)(*arguments, **options)
        except (AttributeError, KeyError, TypeError) as error:
            raise RegistryUnavailable(
                f"what answers at {self._url} is no schema registry; check "
                "stream.schema_registry_url"
            ) from error
        except SchemaRegistryError as error:
            if error.http_status_code == _NOT_FOUND and error.error_code in _UNKNOWN:
                raise SchemaUnknown(str(error.error_message)) from None
            if "fmt" in options and error.http_status_code not in _NOT_ITS_OWN:
                raise NoDescriptor(str(error.error_message)) from None
            raise RegistryUnavailable(
                f"the schema registry at {self._url} refuses: HTTP status "
                f"{error.http_status_code}; {_advice(error.http_status_code)}"
            ) from error
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            raise RegistryUnavailable(
                f"the schema registry at {self._url} does not answer "
                f"({str(error) or type(error).__name__}); check stream.schema_registry_url and "
                "whether it runs"
            ) from error


def _format(*, described: bool) -> dict[str, str]:
    return {"fmt": "serialized"} if described else {}


def _of_client(found: Any) -> RegisteredSchema:
    references = tuple(
        Reference(name=each.name, subject=each.subject, version=each.version)
        for each in found.references or ()
    )
    kind = str(found.schema_type or "AVRO").upper()
    return RegisteredSchema(kind=kind, text=str(found.schema_str or ""), references=references)


def _advice(status: int) -> str:
    if status in (401, 403):
        return "check stream.schema_registry_username, its password, and its rights to read schemas"
    if status == _NOT_FOUND:
        return "check the path in stream.schema_registry_url"
    return "look at the registry's log"


def _check_certificates(location: str) -> None:
    try:
        ssl.create_default_context(cafile=location)
    except ssl.SSLError as error:
        raise SettingsInvalid(
            f"stream.schema_registry_ca_location: {location} holds no certificate in PEM "
            f"({error.reason or error})"
        ) from None
    except OSError as error:
        raise SettingsInvalid(
            f"stream.schema_registry_ca_location: {location} cannot be read ({error.strerror})"
        ) from None


def _password(settings: StreamSettings) -> str:
    if not settings.schema_registry_password_file:
        return settings.schema_registry_password
    path = Path(settings.schema_registry_password_file)
    try:
        return path.read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsInvalid(
            f"stream.schema_registry_password_file: {path} cannot be read ({error})"
        ) from None
