"""The options that say where processes answer."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from freshet.diagnosis.processes import Targets
from freshet.terminal import addresses, options

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    ("--stream", "streams", addresses.STREAM_METRICS, "Metrics addresses of the streams."),
    ("--tuner", "tuner", addresses.TUNER_METRICS, "Metrics address of the tuner."),
    (
        "--refresher",
        "refresher",
        addresses.REFRESHER_METRICS,
        "Metrics address of the refresher, if there is one.",
    ),
    ("--server", "servers", addresses.SERVER_METRICS, "Metrics addresses of the servers."),
    ("--target", "targets", addresses.SERVER_TARGET, "gRPC addresses of the servers."),
    ("--probe", "probes", (), "Metrics addresses of the probes, if there are any."),
    ("--sink", "sinks", (), "Metrics addresses of the sinks, if there are any."),
)


def process_options(function: F) -> Callable[..., Any]:
    """Add an option a process; the function gets them as `Targets`, its first
    argument.
    """

    @functools.wraps(function)
    def call(*arguments: Any, **given: Any) -> Any:
        names = [name for _, name, _, _ in _OPTIONS]
        where = Targets(**{name: given.pop(name) for name in names})
        if len(where.servers) != len(where.targets):
            raise click.UsageError(
                "give as many addresses to --target as to --server, in the same order",
                ctx=click.get_current_context(),
            )
        return function(where, *arguments, **given)

    command: Callable[..., Any] = call
    for flag, name, default, text in reversed(_OPTIONS):
        command = click.option(
            flag,
            name,
            default=default,
            show_default=bool(default),
            type=options.ADDRESSES if name.endswith("s") else options.ADDRESS,
            help=text,
        )(command)
    return command
