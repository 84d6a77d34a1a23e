"""`freshet token`: makes a token that lets a caller in."""

import click

from server.security.tokens import new_token


@click.command()
@click.argument("name")
def token(*, name: str) -> None:
    """Make a token for a caller, and the line of `server.tokens` that lets it in.

    The token is printed once and stored nowhere; the line has only its hash.

    \b
    freshet token search-team >token 2>>/etc/freshet/tokens
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    made, line = new_token(name)
    click.echo(made)
    click.echo(line, err=True)
