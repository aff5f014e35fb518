"""`stagedoor why REQUEST_ID`: which version answered one request, and what decided it."""

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stagedoor.cli import options
from stagedoor.cli.asking import Refused, Unanswered, find_controller, model_path
from stagedoor.cli.request_log import find_line
from stagedoor.cli.status_view import percent

Json = dict[str, Any]


@click.command()
@click.argument("request_id")
@click.option(
    "--log",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The gateway's log. By default that of `stagedoor up` in the state folder.",
)
@options.state
@options.controller
@options.token
@options.as_json
def why(  # noqa: PLR0913  one argument an option
    *, request_id: str, log: Path | None, state: Path | None, controller: str | None, token: str | None, as_json: bool
) -> None:
    """Tell which version answered the request with REQUEST_ID (header X-Request-Id), and why that one.

    The gateway's log says where the request fell; the controller says what the route of that epoch was.
    """
    line = _line(log or options.settings_for(state)[1].logs / "gateway.log", request_id)
    route, missing = _route(line, state, controller, token)
    told = {"request": line, "route": route, "explanation": explain(line, route), "missing": missing}
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    console = Console(highlight=False)
    console.print(_picture(told))


def _line(log: Path, request_id: str) -> Json:
    try:
        found = find_line(log, request_id)
    except OSError as error:
        raise click.ClickException(
            "The gateway's log cannot be read. Name it with --log, or the state folder with --state."
        ) from error
    if found is None:
        raise click.ClickException(
            "The log holds no prediction with this id. The gateway keeps it elsewhere (--log), does not log requests "
            "(STAGEDOOR_LOG_REQUESTS), or the request was longer ago than the log goes back."
        )
    return found


def _route(line: Json, state: Path | None, controller: str | None, token: str | None) -> tuple[Json | None, str | None]:
    """The route of the request's epoch; else a sentence that says why there is none."""
    model, epoch = line.get("model"), line.get("epoch")
    if not model or not epoch:
        return None, "The request was not routed: it was refused before, or named its version itself."
    try:
        route: Json = find_controller(state, controller, token).get(model_path(str(model), "routes", str(epoch)))
    except (Unanswered, Refused, click.ClickException) as error:
        return None, error.message
    return route, None


def explain(line: Json, route: Json | None) -> str:
    """Why the request fell where it did, in a sentence. Arms but the first are stacked from bucket 0 upwards."""
    version, arm, bucket = line.get("version"), line.get("arm"), line.get("bucket")
    if version is None:
        return f"No version answered: {line.get('code') or line.get('outcome') or 'it was refused'}."
    shielded = line.get("shielded_from")
    answered = (
        f"Version {shielded} failed, and version {version} answered in its place."
        if shielded
        else f"Version {version} answered."
    )
    if route is not None and bucket is not None and len(route["arms"]) > 1:
        for name, low, high in _edges(route):
            if low <= bucket < high:
                return f"Bucket {bucket} lies in {low} to {high - 1}, which is {name}'s. {answered}"
    return answered if shielded else f"Version {version} answered, as {arm or 'asked for'}."


def _edges(route: Json) -> list[tuple[str, int, int]]:
    edges, low = [], 0
    for arm in route["arms"][1:]:
        edges.append((str(arm["name"]), low, low + arm["weight"]))
        low += arm["weight"]
    return [*edges, (str(route["arms"][0]["name"]), low, 10_000)]


def _picture(told: Json) -> Table:
    line, route = told["request"], told["route"] or {}
    shown = Table(box=None, show_header=False, pad_edge=False)
    shown.add_column(no_wrap=True, style="dim")
    shown.add_column(overflow="fold")
    arms = ", ".join(f"{arm['name']} (version {arm['version']}) {percent(arm['weight'])}" for arm in route.get("arms", ()))
    rows = (
        ("request", line.get("request_id")),
        ("when", line.get("timestamp")),
        ("subject", line.get("subject")),
        ("model", line.get("model")),
        ("version", line.get("version")),
        ("arm", line.get("arm")),
        ("outcome", line.get("outcome")),
        ("bucket", line.get("bucket")),
        ("epoch", line.get("epoch")),
        ("salt", route.get("salt")),
        ("unit", route.get("sticky") or ("each request by itself" if route else None)),
        ("weights", arms or None),
        ("route by", route.get("by")),
        ("route because", route.get("reason")),
        ("why", told["explanation"]),
        ("missing", told["missing"]),
    )
    for name, value in rows:
        if value not in {None, ""}:
            shown.add_row(name, Text(str(value)))
    return shown
