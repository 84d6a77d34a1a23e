"""`freshet config`: every setting, its value, and where it comes from."""

import json
import os
import re
from dataclasses import asdict
from pathlib import Path

import click

from freshet.config import load_config
from freshet.terminal import options
from freshet.terminal.output import table

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@click.command()
@options.config_option
@options.json_option
def config(*, config_file: Path | None, as_json: bool) -> None:
    """Show every setting, its value, where it comes from, and the environment variable
    that overrides it.

    Of a secret it shows only that it is set.
    """
    entries = [entry.masked for entry in load_config(config_file, os.environ).entries]
    if as_json:
        click.echo(json.dumps([asdict(entry) for entry in entries], default=str, indent=2))
        return
    rows = [
        (f"{entry.table}.{entry.key}", _as_toml(entry.value), entry.source, entry.variable)
        for entry in entries
    ]
    click.echo(table(("key", "value", "from", "environment variable"), rows))


def _as_toml(value: object) -> str:
    if isinstance(value, dict):
        pairs = [
            f"{_key(key)} = {f'{each:g}' if isinstance(each, float) else _as_toml(each)}"
            for key, each in value.items()
        ]
        return "{ " + ", ".join(pairs) + " }" if pairs else "{}"
    return json.dumps(value, ensure_ascii=False, default=str)


def _key(name: str) -> str:
    """Return the name of a key as TOML writes it."""
    return name if _BARE_KEY.fullmatch(name) else json.dumps(name, ensure_ascii=False)
