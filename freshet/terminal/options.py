"""The options that several commands share, and the types of their values."""

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from freshet.config import parse_duration
from freshet.terminal.addresses import SERVER_TARGET
from server.errors import SettingsInvalid
from server.listening.addresses import split_address
from stream.clock import now_ms

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class SourceAddress:
    """Where events come from.

    Attributes:
        kind: ``file`` or ``kafka``.
        value: a path or glob, or ``HOST:PORT[,HOST:PORT]``.
    """

    kind: str
    value: str


class AddressType(click.ParamType[str]):
    """``HOST:PORT``."""

    name = "HOST:PORT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text if it is an address."""
        try:
            split_address(value)
        except SettingsInvalid as error:
            self.fail(str(error), param, ctx)
        return str(value)


class BrokersType(click.ParamType[str]):
    """``HOST:PORT[,HOST:PORT]``, with ``kafka:`` in front or without."""

    name = "kafka:HOST:PORT"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return the name as it is to be typed, not in capitals."""
        del param, ctx
        return self.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the addresses without the scheme."""
        text = str(value)
        bare = text.removeprefix("kafka:")
        # A broker's host may be called kafka: then what looks like the scheme is the
        # host.
        addresses = bare if ":" in bare.split(",")[0] else text
        for address in addresses.split(","):
            ADDRESS.convert(address, param, ctx)
        return addresses


class AddressesType(click.ParamType[tuple[str, ...]]):
    """``HOST:PORT[,HOST:PORT]``."""

    name = "HOST:PORT[,HOST:PORT]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Return the addresses."""
        if isinstance(value, tuple):
            return value
        return tuple(ADDRESS.convert(each, param, ctx) for each in str(value).split(","))


class SourceType(click.ParamType[SourceAddress]):
    """``file:PATH_OR_GLOB`` or ``kafka:HOST:PORT[,HOST:PORT]``."""

    name = "file:PATH|kafka:HOST:PORT"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return the name as it is to be typed, not in capitals."""
        del param, ctx
        return self.name

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> SourceAddress:
        """Return the parsed source."""
        if isinstance(value, SourceAddress):
            return value
        kind, _, rest = str(value).partition(":")
        if kind == "file" and rest:
            return SourceAddress(kind="file", value=rest)
        if kind == "kafka" and rest:
            for address in rest.split(","):
                ADDRESS.convert(address, param, ctx)
            return SourceAddress(kind="kafka", value=rest)
        return self.fail(
            f"{value!r} is neither file:PATH_OR_GLOB nor kafka:HOST:PORT[,HOST:PORT]", param, ctx
        )


class DurationType(click.ParamType[float]):
    """A duration such as ``90s``, ``10m`` or ``1h30m``, in seconds."""

    name = "DURATION"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds."""
        if isinstance(value, (int, float)):
            return float(value)
        try:
            return parse_duration(value)
        except ValueError as error:
            return self.fail(str(error), param, ctx)


class TimeType(click.ParamType[int]):
    """A time: ISO 8601 (UTC where it says no other), or a duration ago such as
    ``2h``.
    """

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return it in UTC epoch milliseconds."""
        if isinstance(value, int):
            return value
        with suppress(ValueError):
            moment = datetime.fromisoformat(value)
            return round(
                (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000
            )
        try:
            return now_ms() - round(parse_duration(value) * 1000)
        except ValueError:
            return self.fail(f"{value!r} is neither an ISO 8601 time nor a duration", param, ctx)


class NumberType(click.FloatRange):
    """A number within bounds. NaN is within all bounds, and an infinity where one is
    open: neither is a number here.
    """

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is no number", param, ctx)
        return number


class SpeedType(click.ParamType[float]):
    """Times real time; ``max``, which is 0, is as fast as possible."""

    name = "N|max"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the factor; 0 stands for ``max``."""
        if value == "max":
            return 0.0
        try:
            speed = float(value)
        except ValueError:
            speed = -1.0
        if not 0 <= speed < float("inf"):
            self.fail(f"{value!r} is neither a number of times real time nor max", param, ctx)
        return speed


class NamedPath(click.Path):
    """A path that is not empty: an empty one would be the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        if value == "":
            self.fail("it is empty; name one, or . for the current folder", param, ctx)
        return super().convert(value, param, ctx)


class GivenText(click.types.StringParamType):
    """A text that is not empty: `"$UNSET"` of a shell says nothing, and would be taken
    for what is not given.
    """

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text."""
        if value == "":
            self.fail("it is empty; leave it out, or give one", param, ctx)
        return super().convert(value, param, ctx)


TEXT = GivenText()
ADDRESS = AddressType()
ADDRESSES = AddressesType()
BROKERS = BrokersType()
SOURCE = SourceType()
DURATION = DurationType()
SPEED = SpeedType()
TIME = TimeType()
# Milliseconds since 1970, to the end of the year 9999, which is as far as times can be
# written as dates. Beyond 64 bits no array takes one.
TIME_MS = click.IntRange(min=0, max=253_402_300_799_999)
FOLDER = NamedPath(path_type=Path, file_okay=True)
FILE = NamedPath(path_type=Path, dir_okay=True)


def config_option(function: F) -> F:
    """Add ``--config``."""
    return click.option(
        "--config",
        "config_file",
        type=FILE,
        metavar="FILE",
        help="TOML file with settings; `freshet config` lists them.",
    )(function)


def store_option(function: F) -> F:
    """Add the required ``--store``."""
    return click.option(
        "--store", type=FOLDER, required=True, metavar="DIR", help="Folder of the graph store."
    )(function)


def graph_options(function: F) -> F:
    """Add ``--store`` and ``--snapshot``, of which a command takes one.

    See `one_graph`.
    """
    with_snapshot = click.option(
        "--snapshot",
        type=FOLDER,
        metavar="DIR",
        help="Folder of a snapshot, to read instead of a store.",
    )
    with_store = click.option(
        "--store", type=FOLDER, metavar="DIR", help="Folder of the graph store."
    )
    return with_store(with_snapshot(function))


def one_graph(store: Path | None, snapshot: Path | None) -> Path:
    """Return the one folder that was given.

    Raises:
        click.UsageError: none or both were given.
    """
    if (store is None) == (snapshot is None):
        raise click.UsageError(
            "give either --store DIR or --snapshot DIR", ctx=click.get_current_context()
        )
    return store or snapshot  # type: ignore[return-value]  # one of them is a path


def artifacts_option(function: F) -> F:
    """Add the required ``--artifacts``."""
    return click.option(
        "--artifacts", type=FOLDER, required=True, metavar="DIR", help="Folder of the generations."
    )(function)


def backups_argument(function: F) -> F:
    """Add the argument ``[URL]`` of the backups."""
    return click.argument("url", type=TEXT, metavar="[URL]", required=False)(function)


def keep_options(function: F) -> F:
    """Add ``--keep`` and ``--max-age``, which say which backups stay."""
    with_age = click.option(
        "--max-age",
        type=DURATION,
        metavar="DURATION",
        help="Remove backups that are older, such as 30d; the newest one always stays.",
    )
    with_keep = click.option(
        "--keep",
        type=click.IntRange(min=1),
        metavar="N",
        help="Keep the newest N backups, and remove older ones.",
    )
    return with_keep(with_age(function))


def metrics_option(default: str) -> Callable[[F], F]:
    """Return what adds ``--metrics``.

    Args:
        default: what is used where it is not given, in words.
    """
    return click.option(
        "--metrics",
        type=ADDRESS,
        metavar="HOST:PORT",
        help=f"Address at which to serve Prometheus metrics [default: {default}].",
    )


def target_option(function: F) -> F:
    """Add ``--target``: the server that is asked."""
    return click.option(
        "--target",
        type=ADDRESS,
        default=SERVER_TARGET,
        show_default=True,
        metavar="HOST:PORT",
        help="gRPC address of the server.",
    )(function)


def json_option(function: F) -> F:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")(
        function
    )
