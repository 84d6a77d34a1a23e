"""Reads one TOML file and the environment into the settings of each package.

There is a table a package (``[stream]``, ``[model]``, ``[server]``), one of the
refresher (``[refresh]``), one of logs (``[log]``), one of OTLP (``[telemetry]``) and
one of the metrics ports (``[metrics]``), a key a field of its frozen dataclass. What
counts, strongest first: a command-line flag, ``FRESHET_<TABLE>_<KEY>`` in the
environment, the file, the default.
"""

import dataclasses
import difflib
import json
import math
import re
import tomllib
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from freshet.logs.settings import LogSettings
from freshet.metrics_settings import MetricsSettings
from freshet.telemetry.settings import TelemetrySettings
from model.errors import ModelError
from model.refresh_settings import RefreshSettings
from model.settings import ModelSettings
from server.errors import ServerError
from server.settings import ServerSettings
from stream.errors import StreamError, described
from stream.settings import StreamSettings

SETTINGS = {
    "stream": StreamSettings,
    "model": ModelSettings,
    "refresh": RefreshSettings,
    "server": ServerSettings,
    "log": LogSettings,
    "telemetry": TelemetrySettings,
    "metrics": MetricsSettings,
}
"""The settings of each package, of the refresher, of logs, of what is sent by OTLP and
of the metrics ports, by the name of their table.
"""

PACKAGE_ERRORS = (StreamError, ModelError, ServerError)
"""The roots of the error trees of the packages."""

FILE_VARIABLE = "FRESHET_CONFIG"

T = typing.TypeVar("T")

# What is shown of a secret that is set, whatever its length.
_MASK = "********"

# Seconds of each unit, as written in a value and as the end of a key.
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
_DURATION_PIECE = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_KEY_UNITS = {"_ms": 0.001, "_seconds": 1.0, "_minutes": 60.0, "_hours": 3600.0, "_days": 86_400.0}
_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0"}
# A Kubernetes service named freshet-server has FRESHET_SERVER_PORT and the like set in
# every pod.
_SERVICE_LINK = re.compile(r"(SERVICE_(HOST|PORT)(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)")
# How like a setting's variable one of an unknown table is that is taken for it, as
# difflib has it: one letter of twenty is .97, one word more .9. Less like ones may be
# somebody's own.
_MISSPELT = 0.92


class ConfigError(Exception):
    """A setting is wrong; correct it.

    The message names the file or variable, the key and what is allowed.
    """

    retriable = False


@dataclass(frozen=True, kw_only=True)
class SettingEntry:
    """One setting in force: what `freshet config` shows.

    Attributes:
        table: the package, such as ``stream``.
        key: the key in that table.
        value: the value in force.
        source: ``default``, ``file`` or ``environment``.
        variable: the environment variable that overrides it.
    """

    table: str
    key: str
    value: object
    source: str
    variable: str

    @property
    def masked(self) -> "SettingEntry":
        """The same, without the value where that is a secret: fit to be shown."""
        is_secret = _fields_of(self.table)[self.key].is_secret
        return dataclasses.replace(self, value=_MASK) if is_secret and self.value else self


class Config:
    """The settings of all packages, from one file and one environment, checked as a
    whole.
    """

    def __init__(self, entries: list[SettingEntry]) -> None:
        self.entries = entries

    def stream(self, **flags: object) -> StreamSettings:
        """Return the stream's settings; a flag that is None changes nothing.

        Raises:
            ConfigError: the values do not fit together.
        """
        return self._build(StreamSettings, "stream", flags)

    def model(self, **flags: object) -> ModelSettings:
        """Return the model's settings; see `stream`."""
        return self._build(ModelSettings, "model", flags)

    def refresh(self, **flags: object) -> RefreshSettings:
        """Return the refresher's settings; see `stream`."""
        return self._build(RefreshSettings, "refresh", flags)

    def server(self, **flags: object) -> ServerSettings:
        """Return the server's settings; see `stream`."""
        return self._build(ServerSettings, "server", flags)

    def log(self) -> LogSettings:
        """Return the settings of what is logged; see `stream`."""
        return self._build(LogSettings, "log", {})

    def telemetry(self) -> TelemetrySettings:
        """Return the settings of what is sent by OTLP; see `stream`."""
        return self._build(TelemetrySettings, "telemetry", {})

    def metrics(self) -> MetricsSettings:
        """Return what protects the metrics port; see `stream`."""
        return self._build(MetricsSettings, "metrics", {})

    def _build(self, kind: Callable[..., T], table: str, flags: Mapping[str, object]) -> T:
        values = {entry.key: entry.value for entry in self.entries if entry.table == table}
        values |= {key: value for key, value in flags.items() if value is not None}
        try:
            return kind(**values)
        except (ValueError, *PACKAGE_ERRORS) as error:
            raise ConfigError(f"settings of [{table}]: {error}") from None


def load_config(path: Path | None, environment: Mapping[str, str]) -> Config:
    """Read the file (`path`, or the one that ``FRESHET_CONFIG`` names, or none) and the
    environment.

    Raises:
        ConfigError: the file cannot be read, a key is unknown, or a value has the wrong
            type.
    """
    if path is None and environment.get(FILE_VARIABLE):
        path = Path(environment[FILE_VARIABLE])
    document = _read_document(path) if path is not None else {}
    entries: list[SettingEntry] = []
    for table in SETTINGS:
        fields = _fields_of(table)
        origin = f"{path}: [{table}]"
        from_file = _values_from_file(origin, document.get(table, {}), fields)
        from_environment = _values_from_environment(table, environment, fields)
        entries += _merge(table, fields, from_file, from_environment)
    _refuse_misspelt(environment, [entry.variable for entry in entries])
    config = Config(entries)
    for build in (
        config.stream,
        config.model,
        config.refresh,
        config.server,
        config.log,
        config.telemetry,
        config.metrics,
    ):
        build()  # values that do not fit together refuse to start, too
    return config


def parse_duration(text: str) -> float:
    """Return the seconds in ``90``, ``90s``, ``10m``, ``1h30m``, ``2d`` or ``250ms``.

    Raises:
        ValueError: the text is none of these.
    """
    stripped = text.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", stripped):
        return float(stripped)
    if not _DURATION.fullmatch(stripped):
        raise ValueError(f"{text!r} is not a duration such as 90s, 10m, 1h30m or 250ms")
    return math.fsum(
        float(number) * _UNIT_SECONDS[unit] for number, unit in _DURATION_PIECE.findall(stripped)
    )


@dataclass(frozen=True, kw_only=True)
class _Field:
    key: str
    annotation: object
    default: object
    is_secret: bool

    @property
    def unit_seconds(self) -> float | None:
        """The unit that the key's name ends in, where the key is a duration."""
        return next(
            (unit for ending, unit in _KEY_UNITS.items() if self.key.endswith(ending)), None
        )


def _fields_of(table: str) -> dict[str, _Field]:
    settings_type = SETTINGS[table]
    hints = typing.get_type_hints(settings_type)
    return {
        field.name: _Field(
            key=field.name,
            annotation=hints[field.name],
            default=_default_of(field),
            is_secret=bool(field.metadata.get("secret")),
        )
        for field in dataclasses.fields(settings_type)
        if field.init
    }


def _default_of(field: dataclasses.Field[object]) -> object:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _read_document(path: Path) -> dict[str, dict[str, object]]:
    try:
        # Editors of Windows put a byte order mark before UTF-8.
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no such file; give another with --config or {FILE_VARIABLE}"
        ) from None
    except OSError as error:
        raise ConfigError(described(error)) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 ({error.reason}); save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    for name, value in document.items():
        if name not in SETTINGS:
            raise ConfigError(f"{path}: unknown table [{name}]{_advice(name, SETTINGS)}")
        if not isinstance(value, dict):
            raise ConfigError(f"{path}: {name} must be a table, written [{name}]")
    return document


def _values_from_file(
    origin: str, values: Mapping[str, object], fields: Mapping[str, _Field]
) -> dict[str, object]:
    for key in values:
        if key not in fields:
            raise ConfigError(f"{origin}: unknown key {key}{_advice(key, fields)}")
    return {key: _typed(f"{origin} {key}", value, fields[key]) for key, value in values.items()}


def _values_from_environment(
    table: str, environment: Mapping[str, str], fields: Mapping[str, _Field]
) -> dict[str, object]:
    prefix = f"FRESHET_{table.upper()}_"
    values: dict[str, object] = {}
    for variable, text in environment.items():
        if not variable.startswith(prefix):
            continue
        key = variable.removeprefix(prefix).lower()
        if key in fields:
            values[key] = _from_text(f"environment variable {variable}", text, fields[key])
        elif not _SERVICE_LINK.fullmatch(key.upper()):
            known = {prefix + known_key.upper() for known_key in fields}
            raise ConfigError(f"unknown environment variable {variable}{_advice(variable, known)}")
    return values


def _refuse_misspelt(environment: Mapping[str, str], known: typing.Sequence[str]) -> None:
    """Refuse variables that nobody reads, for the name of their table is misspelt."""
    tables = tuple(f"FRESHET_{table.upper()}_" for table in SETTINGS)
    for variable in environment:
        if variable.startswith("FRESHET_") and not variable.startswith(tables):
            near = difflib.get_close_matches(variable, known, n=1, cutoff=_MISSPELT)
            if near and not _SERVICE_LINK.search(variable):
                raise ConfigError(
                    f"unknown environment variable {variable}; did you mean {near[0]}?"
                )


def _merge(
    table: str,
    fields: Mapping[str, _Field],
    from_file: Mapping[str, object],
    from_environment: Mapping[str, object],
) -> list[SettingEntry]:
    entries = []
    for key, field in fields.items():
        value, source = field.default, "default"
        if key in from_file:
            value, source = _over(value, from_file[key]), "file"
        if key in from_environment:
            value, source = _over(value, from_environment[key]), "environment"
        variable = f"FRESHET_{table}_{key}".upper()
        entries.append(
            SettingEntry(table=table, key=key, value=value, source=source, variable=variable)
        )
    return entries


def _over(lower: object, upper: object) -> object:
    """Return what counts; of a table, the keys that are given."""
    return {**lower, **upper} if isinstance(lower, dict) and isinstance(upper, dict) else upper


def _advice(name: str, known: typing.Iterable[str]) -> str:
    ordered = sorted(known)
    near = difflib.get_close_matches(name, ordered, n=1)
    listed = ", ".join(ordered)
    return f"; did you mean {near[0]}? Known: {listed}" if near else f"; known: {listed}"


def _typed(origin: str, value: object, field: _Field) -> object:
    """Return a TOML value as the field's type; a duration may be text such as 10m."""
    kind = _plain(field.annotation)
    if field.is_secret and not isinstance(value, str):
        raise ConfigError(f"{origin} must be text in quotes")  # and shows nothing of it
    if typing.get_origin(kind) is dict and isinstance(value, dict):
        number = typing.get_args(kind)[1]
        return {str(key): _scalar(f"{origin}.{key}", item, number) for key, item in value.items()}
    if typing.get_origin(kind) is tuple and isinstance(value, list):
        element = typing.get_args(kind)[0]
        return tuple(_scalar(origin, item, element) for item in value)
    if isinstance(value, str) and field.unit_seconds is not None and kind in (int, float):
        return _duration(origin, value, kind, field.unit_seconds)
    return _scalar(origin, value, kind)


def _scalar(origin: str, value: object, kind: object) -> object:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{origin} must be a finite number, not {value!r}")
    if kind is Path and isinstance(value, str):
        return Path(value)
    if (
        isinstance(kind, type)
        and isinstance(value, kind)
        and (kind is bool or not isinstance(value, bool))
    ):
        return value
    raise ConfigError(f"{origin} must be {_name_of(kind)}, not {value!r}")


def _from_text(origin: str, text: str, field: _Field) -> object:
    kind = _plain(field.annotation)
    if typing.get_origin(kind) is dict:
        number = typing.get_args(kind)[1]
        if number is object:
            return _json_table(origin, text)
        pairs = [piece.partition("=") for piece in text.split(",") if piece.strip()]
        return {key.strip(): _parse(origin, value, number) for key, _, value in pairs}
    if typing.get_origin(kind) is tuple:
        element = typing.get_args(kind)[0]
        return tuple(_parse(origin, piece, element) for piece in text.split(",") if piece.strip())
    if field.unit_seconds is not None and kind in (int, float):
        return _duration(origin, text, kind, field.unit_seconds)
    return _parse(origin, text, kind)


def _json_table(origin: str, text: str) -> dict[str, object]:
    """Return a table of any shape, which the environment has as a JSON object."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{origin} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{origin} must be a JSON object, not {text!r}")
    return found


def text_as_number(text: str, kind: object) -> int | float | None:
    """Return the text as an int or a finite float, or None where it is not one."""
    try:
        number = int(text) if kind is int else float(text)
    except ValueError:
        return None
    return number if isinstance(number, int) or math.isfinite(number) else None


def _parse(origin: str, text: str, kind: object) -> object:
    stripped = text.strip()
    if kind is bool:
        if stripped.lower() in _TRUE | _FALSE:
            return stripped.lower() in _TRUE
    elif kind in (int, float):
        number = text_as_number(stripped, kind)
        if number is not None:
            return number
    elif kind is Path:
        return Path(stripped)
    else:
        return text
    raise ConfigError(f"{origin} must be {_name_of(kind)}, not {text!r}")


def _duration(origin: str, text: str, kind: object, unit_seconds: float) -> int | float:
    """Return a duration in the unit of its key.

    A number without a unit is in that unit already.
    """
    number = text_as_number(text, kind)
    if number is not None:
        return number
    try:
        amount = parse_duration(text) / unit_seconds
    except ValueError as error:
        raise ConfigError(f"{origin}: {error}") from None
    return round(amount) if kind is int else amount


def _plain(annotation: object) -> object:
    """Return the annotation without its ``| None``."""
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        kept = [kind for kind in typing.get_args(annotation) if kind is not type(None)]
        return kept[0]
    if typing.get_origin(annotation) is Mapping:
        return dict[typing.get_args(annotation)]  # type: ignore[misc]
    return annotation


def _name_of(kind: object) -> str:
    names = {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: "text",
        Path: "a path",
    }
    if isinstance(kind, type) and kind in names:
        return names[kind]
    return f"a table or list ({kind})"
