"""The command line: ``freshet --help`` reads like the product."""

import importlib

import click

from freshet.commands.table import SECTIONS, CommandEntry
from freshet.process import missing_module

_LOCATED = {
    entry.name: (f"{section.package}.{entry.module}", entry)
    for section in SECTIONS
    for entry in section.entries
}


class CommandTable(click.Group):
    """The commands of the table, each imported when it is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all names, in the order of help."""
        del ctx
        return list(_LOCATED)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, or None where there is none of that name.

        Raises:
            CommandError: what it needs is not installed.
        """
        del ctx
        return _load(*_LOCATED[cmd_name]) if cmd_name in _LOCATED else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one list of commands a section."""
        del ctx
        width = max(map(len, _LOCATED))
        for section in SECTIONS:
            with formatter.section(section.title):
                formatter.write_dl(
                    [(entry.name.ljust(width), entry.summary) for entry in section.entries]
                )


def _load(module_name: str, entry: CommandEntry) -> click.Command:
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise missing_module(error, f"freshet {entry.name}", entry.extras) from error
    command: click.Command = getattr(module, entry.module)
    command.short_help = entry.summary
    return command


@click.group(
    cls=CommandTable,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(
    package_name="freshet", message="freshet %(version)s", help="Show the version."
)
def cli(*, debug: bool) -> None:
    """Product retrieval that follows what shoppers do, as they do it.

    Clicks and sessions flow into a graph; a model is trained on the graph again and
    again; a server answers queries from the newest embeddings, without a pause. Start
    with: freshet demo
    """
