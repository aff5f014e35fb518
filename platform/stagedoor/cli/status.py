"""`stagedoor status`: what is live, what happened, and what is wrong, as the gateway sees it."""

import json
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import requests
from rich.console import Console
from rich.live import Live

from stagedoor import names
from stagedoor.cli import options
from stagedoor.cli.status_view import view
from stagedoor.local.endpoints import Endpoints, read_endpoints

_WATCH_SECONDS = 1.0


@click.command()
@click.argument("model", required=False)
@options.state
@click.option("--gateway", help="Address of the gateway. By default that of the running `stagedoor up`.")
@click.option("--token", envvar="STAGEDOOR_TOKEN", show_envvar=True, help="A viewer's token. By default that of `up`.")
@click.option("--watch", is_flag=True, help="Show it anew every second until Ctrl-C.")
@options.as_json
def status(  # noqa: PLR0913  one argument an option
    model: str | None, state: Path | None, gateway: str | None, token: str | None, *, watch: bool, as_json: bool
) -> None:
    """Show what the gateway serves: live versions, traffic, problems, workers."""
    _, paths = options.settings_for(state)
    known = read_endpoints(paths.endpoints)
    address, bearer = _where(known, gateway, token)
    if as_json:
        click.echo(json.dumps(_ask(address, bearer, model), indent=2))
        return
    console = Console()
    shown = view(_ask(address, bearer, model))
    if not watch:
        console.print(shown)
        return
    try:
        with Live(shown, console=console, auto_refresh=False) as live:
            while True:
                time.sleep(_WATCH_SECONDS)
                live.update(view(_ask(address, bearer, model)), refresh=True)
    except KeyboardInterrupt:
        return


def _where(known: Endpoints | None, gateway: str | None, token: str | None) -> tuple[str, str]:
    if known is None and (gateway is None or token is None):
        raise click.ClickException(
            "No `stagedoor up` runs in this state folder. Name another with --state, or a gateway with --gateway and --token."
        )
    if known is None:
        return str(gateway).rstrip("/"), str(token)
    # A token of `up` goes to its own gateway only.
    if gateway is not None and token is None and gateway.rstrip("/") != known.gateway:
        raise click.ClickException("Another gateway than that of `stagedoor up` needs --token.")
    return (gateway or known.gateway).rstrip("/"), token or known.tokens[names.ROLE_PROMOTER]


def _ask(gateway: str, token: str, model: str | None) -> Any:  # noqa: ANN401  JSON
    try:
        answer = requests.get(
            f"{gateway}/status", headers={"Authorization": f"Bearer {token}"}, timeout=10, allow_redirects=False
        )
        body: Any = answer.json()
    except requests.JSONDecodeError as error:
        raise click.ClickException(f"What answers at {gateway} is not a Stagedoor gateway. Check the address.") from error
    except requests.RequestException as error:
        raise click.ClickException(f"No gateway answers at {gateway}. Start one with `stagedoor up`.") from error
    if answer.status_code != HTTPStatus.OK:
        detail = body.get("detail", "") if isinstance(body, dict) else ""
        raise click.ClickException(f"The gateway answered {answer.status_code}. {detail}")
    if model is None:
        return body
    chosen = [entry for entry in body.get("models", []) if entry.get("name") == model]
    if not chosen:
        raise click.ClickException(f"The gateway knows no model {quote(model)}. `stagedoor status` lists those it knows.")
    return {**body, "models": chosen}
