"""`stagedoor token`: issue one."""

import json
import time
from pathlib import Path

import click

from stagedoor import names
from stagedoor.auth import issue_token
from stagedoor.cli import options

ROLES = (names.ROLE_PREDICTOR, names.ROLE_TESTER, names.ROLE_VIEWER, names.ROLE_PROMOTER, names.ROLE_ADMIN)


@click.command()
@options.state
@click.option("--subject", required=True, help="Who it is for: a person or a service.")
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice(ROLES),
    default=(names.ROLE_PREDICTOR,),
    show_default=True,
    help="What it may do. Repeat for several.",
)
@click.option(
    "--model", "models", multiple=True, default=("*",), show_default=True, help="Pattern of models, as in 'fraud*'. Repeat."
)
@click.option("--hours", type=click.FloatRange(0, 8784, min_open=True), default=24, show_default=True, help="Lifetime.")
@options.as_json
def token(  # noqa: PLR0913  one argument an option
    state: Path | None, subject: str, roles: tuple[str, ...], models: tuple[str, ...], hours: float, *, as_json: bool
) -> None:
    r"""Issue a token with the signing secret and print it, and nothing else.

    \b
    Example: curl -H "Authorization: Bearer $(stagedoor token --subject me)" ...
    """
    settings, _ = options.settings_for(state)
    lifetime = round(hours * 3600)
    now = time.time()
    text = issue_token(settings, subject=subject, roles=roles, models=models, lifetime_seconds=lifetime, now=now)
    if as_json:
        expires_at = round(now) + lifetime
        click.echo(json.dumps({"token": text, "subject": subject, "roles": roles, "models": models, "expires_at": expires_at}))
    else:
        click.echo(text)
