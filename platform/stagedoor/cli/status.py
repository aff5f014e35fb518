"""`stagedoor status`: what is live and what is under way, as the gateway and the controller see it."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from stagedoor.cli import options
from stagedoor.cli.asking import Refused, Service, Unanswered, find_controller, find_gateway
from stagedoor.cli.rollout_view import rollouts
from stagedoor.cli.status_view import view

_WATCH_SECONDS = 1.0
Json = dict[str, Any]


@click.command()
@click.argument("model", required=False)
@options.state
@options.gateway
@options.controller
@options.token
@click.option("--watch", is_flag=True, help="Show it anew every second until Ctrl-C.")
@options.as_json
def status(  # noqa: PLR0913  one argument an option
    model: str | None,
    state: Path | None,
    gateway: str | None,
    controller: str | None,
    token: str | None,
    *,
    watch: bool,
    as_json: bool,
) -> None:
    """Show what is served and what is under way: live versions, traffic, rollouts, problems, workers.

    Where only the gateway or only the controller answers, that one's half is shown.
    """
    places = _places(state, gateway, controller, token)
    if as_json:
        click.echo(json.dumps(_ask(places, model).as_json(), indent=2))
        return
    console = Console()
    shown = _ask(places, model).picture()
    if not watch:
        console.print(shown)
        return
    try:
        with Live(shown, console=console, auto_refresh=False) as live:
            while True:
                time.sleep(_WATCH_SECONDS)
                live.update(_again(places, model), refresh=True)
    except KeyboardInterrupt:
        return


@dataclass(frozen=True, slots=True)
class _Places:
    gateway: Service | None
    controller: Service | None


@dataclass(frozen=True, slots=True)
class _Answers:
    """What both said. None where one was not asked or did not answer; `unanswered` then says why.

    `missing` is what the controller itself waits for.
    """

    gateway: Json | None
    rollouts: list[Json] | None
    unanswered: tuple[str, ...]
    missing: tuple[str, ...]

    def as_json(self) -> Json:
        """The gateway's answer with the controller's beside it."""
        beside = {"rollouts": self.rollouts, "unanswered": list(self.unanswered), "missing": list(self.missing)}
        return {**(self.gateway or {}), **beside}

    def picture(self) -> RenderableType:
        """Both halves."""
        parts: list[RenderableType] = [Text(sentence, "red", overflow="fold") for sentence in self.unanswered]
        parts += [Text(f"controller: {sentence}", "yellow", overflow="fold") for sentence in self.missing]
        if self.gateway is not None:
            parts.append(view(self.gateway))
        if self.rollouts:
            parts += [Text(), rollouts(self.rollouts)]
        return Group(*parts)


def _places(state: Path | None, gateway: str | None, controller: str | None, token: str | None) -> _Places:
    """Those that can be asked. A place that was named alone is asked alone. Raises click.ClickException for none at all."""
    reasons: list[click.ClickException] = []

    def find(finder: Callable[..., Service], address: str | None) -> Service | None:
        try:
            return finder(state, address, token)
        except click.ClickException as error:
            reasons.append(error)
            return None

    found = _Places(
        None if controller and not gateway else find(find_gateway, gateway),
        None if gateway and not controller else find(find_controller, controller),
    )
    if found == _Places(None, None):
        raise reasons[0]
    return found


def _again(places: _Places, model: str | None) -> RenderableType:
    """A look after the first. That nobody answers for a while ends no watch."""
    try:
        return _ask(places, model).picture()
    except click.ClickException as error:
        return Text(error.message, "red", overflow="fold")


def _ask(places: _Places, model: str | None) -> _Answers:
    """Raises click.ClickException where nobody answers, or where nobody knows the model."""
    errors: list[click.ClickException] = []

    def ask(service: Service | None, path: str) -> Json | None:
        if service is None:
            return None
        try:
            answer: Json = service.get(path)
        except (Unanswered, Refused) as error:
            errors.append(error)
            return None
        return answer

    served, rows = ask(places.gateway, "/status"), ask(places.controller, "/v1/models")
    if served is None and rows is None:
        raise errors[0]
    under_way = None if rows is None else list(rows.get("models", []))
    if model is not None:
        served, under_way = _only(model, served, under_way)
    missing = tuple(str(sentence) for sentence in (rows or {}).get("missing", ()))
    return _Answers(served, under_way, tuple(error.message for error in errors), missing)


def _only(model: str, served: Json | None, under_way: list[Json] | None) -> tuple[Json | None, list[Json] | None]:
    chosen = [entry for entry in (served or {}).get("models", []) if entry.get("name") == model]
    rows = [row for row in under_way or [] if row.get("model") == model]
    if not chosen and not rows:
        raise click.ClickException("There is no such model here. `stagedoor status` lists those that there are.")
    return None if served is None else {**served, "models": chosen}, None if under_way is None else rows
