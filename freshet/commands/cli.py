"""The command tree: ``freshet --help`` reads like the product."""

from importlib.metadata import version

import click

from freshet.commands.jobs import evaluate as cli_hand
from freshet.commands.services import tune as cli_run
from freshet.commands.trials import simulate as cli_try
from freshet.commands.views import generations as cli_look

SECTIONS: dict[str, tuple[click.Command, ...]] = {
    "Run it": (cli_run.stream, cli_run.tune, cli_run.serve),
    "Try it": (cli_try.demo, cli_try.simulate, cli_try.replay, cli_try.query),
    "Look": (
        cli_look.status,
        cli_look.graph,
        cli_look.verify,
        cli_look.generations,
        cli_look.explain,
        cli_look.quarantine,
        cli_look.erasures,
        cli_look.config,
    ),
    "By hand": (
        cli_hand.snapshot,
        cli_hand.train,
        cli_hand.evaluate,
        cli_hand.upgrade,
        cli_hand.erase,
    ),
}


class SectionedGroup(click.Group):
    """A group whose help lists its commands by what they are for."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one list of commands a section."""
        width = max(map(len, self.list_commands(ctx)))
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                rows = [
                    (str(command.name), command.get_short_help_str(limit=88))
                    for command in commands
                ]
                formatter.write_dl([(name.ljust(width), text) for name, text in rows])


def _print_version(ctx: click.Context, _option: click.Parameter, asked: bool) -> None:  # noqa: FBT001  # click calls it
    if asked and not ctx.resilient_parsing:
        click.echo(f"freshet {version('freshet')}")
        ctx.exit()


@click.group(
    cls=SectionedGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version.",
)
def cli(*, debug: bool) -> None:
    """Product retrieval that follows what shoppers do, as they do it.

    Clicks and sessions flow into a graph, a model is tuned on the graph again and
    again, and a server answers queries from the newest embeddings without ever
    stopping. Start with: freshet demo
    """


for _commands in SECTIONS.values():
    for _command in _commands:
        cli.add_command(_command)
